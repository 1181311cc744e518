"""Measures of made rows, by subject."""
