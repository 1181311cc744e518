"""Generators with the habits of scikit-learn: fit, sample, get_params."""
