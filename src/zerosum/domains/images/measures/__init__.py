"""The measures of generated images, by subject. Each module turns what an `Occasion` holds into records."""
