"""The metrics of translations, one module for each property."""
