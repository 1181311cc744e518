"""Generators with the interface of scikit-learn estimators: fit, sample, get_params."""
