"""Layers for data with 1, 2 or 3 spatial dimensions, and mathematics of latent spaces. They know no domain and no game."""
