"""Image recipes: complete typed rows, a module a family; each has its measured result in docs/images.md."""

from __future__ import annotations

from collections.abc import Mapping

from zerosum.domains.images.recipes import classic, light, r3, resnet, style
from zerosum.domains.images.recipes.choice import recommend_recipe
from zerosum.domains.images.recipes.tuning import resolve_auto
from zerosum.recipe import Recipe

__all__ = ["RECIPES", "recommend_recipe", "resolve_auto"]

_ROWS = (*classic.RECIPES, *resnet.RECIPES, *style.RECIPES, *r3.RECIPES, *light.RECIPES)
RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in _ROWS}
