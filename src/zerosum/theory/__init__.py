"""Exact quantities of the game, in float64 and in closed form where there is one. It imports torch only."""
