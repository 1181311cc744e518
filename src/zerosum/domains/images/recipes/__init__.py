"""Image recipes: complete typed rows, a module a family; each has its measured result in docs/images.md."""

from __future__ import annotations

from collections.abc import Mapping

from zerosum.domains.images.recipes import classic
from zerosum.domains.images.recipes.choice import choose
from zerosum.recipe import Recipe

__all__ = ["RECIPES", "choose"]

RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (*classic.RECIPES,)}
