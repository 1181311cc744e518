"""The records of an evaluation, by subject."""
