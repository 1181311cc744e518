"""Exact quantities of the game, in float64 and in closed form where there is one. Torch, and nothing of ours."""
