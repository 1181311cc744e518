"""From a recipe's parts to objects: options checked against signatures, the ordinary game put together."""

from __future__ import annotations

import contextlib
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from zerosum.engine import losses, penalties
from zerosum.engine.duel import Augment, Duel
from zerosum.engine.optimizers import OptimizerConfig
from zerosum.engine.penalties import Penalty
from zerosum.engine.seeds import derive
from zerosum.errors import UserError, nearest, shown, wanted, within
from zerosum.recipe import Component, Recipe, resolved_number

D = TypeVar("D", bound=Duel)

GIVEN = frozenset({"latent", "num_classes", "num_attributes"})
"""Keywords of networks that the game gives; no recipe can set them."""
COUNTS = ("depth", "blocks", "levels", "mapping_layers")
"""Options of networks that are numbers of layers, or lists of such numbers."""
MOST_LAYERS = 1_000


def options_of(maker: Callable[..., Any]) -> frozenset[str]:
    """The options of a part that a recipe may set: the keywords of its maker."""
    target = maker.__init__ if inspect.isclass(maker) else maker
    named = (p.name for p in inspect.signature(target).parameters.values() if p.kind is p.KEYWORD_ONLY)
    return frozenset(named) - GIVEN


def make(where: str, kinds: Mapping[str, Callable[..., Any]], part: Component, *first: Any, **given: Any) -> Any:
    """Calls kinds[part.kind](*first, **given, **options) after checking each option against the signature.

    `given` are keywords that the recipe cannot set; those that the callable does not take are left out.
    UserError names the field, the value and the choices.
    """
    if part.kind not in kinds:
        raise UserError(f"{where}.kind: there is no {part.kind!r}. {nearest(part.kind, kinds)}")
    maker = kinds[part.kind]
    target = maker.__init__ if inspect.isclass(maker) else maker
    hints = typing.get_type_hints(target)
    named = [p.name for p in inspect.signature(target).parameters.values() if p.kind is p.KEYWORD_ONLY]
    accepted = [name for name in named if name not in given]
    checked = {name: _checked(where, name, value, accepted, hints) for name, value in part.options.items()}
    try:
        return maker(*first, **{name: value for name, value in given.items() if name in named}, **checked)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{where} ({part.kind}): {error}") from None


def _check_depth(role: str, part: Component) -> None:
    """UserError for a network of so many layers that building it would not end."""
    for name in COUNTS:
        value = part.options.get(name)
        for number in value if isinstance(value, list | tuple) else [value]:
            if isinstance(number, int):
                within(f"{role}.{name}", number, 0, MOST_LAYERS)


def _checked(where: str, name: str, value: Any, accepted: list[str], hints: Mapping[str, Any]) -> Any:
    if name not in accepted:
        raise UserError(f"{where}: there is no option {name!r}. {nearest(name, accepted)}")
    try:
        return TypeAdapter(hints[name]).validate_python(value)
    except ValidationError as error:
        raise UserError(f"{where}.{name} = {shown(value)} is wrong: {wanted(error.errors())}.") from None


def duel(
    recipe: Recipe,
    generators: Mapping[str, Callable[..., Any]],
    discriminators: Mapping[str, Callable[..., Any]],
    augments: Mapping[str, Callable[..., Augment]],
    shape: Any,
    num_classes: int = 0,
    num_attributes: int = 0,
    conditional: bool | None = None,
    penalties: Mapping[str, Callable[..., Penalty]] = MappingProxyType({}),
) -> Duel:
    """The ordinary game of a recipe; networks are initialised from its seed alone, whatever was drawn before.

    conditional: whether both players receive the conditions of the rows; by default where there are classes or attributes.
    penalties: makers of the domain's own further terms, beside those that the engine knows.
    """
    given = condition_sizes(recipe, num_classes, num_attributes)
    with seeded(recipe):
        generator = network("generator", generators, recipe.generator, shape, given)
        discriminator = network("discriminator", discriminators, recipe.discriminator, shape, given)
    return duel_of(
        Duel,
        recipe,
        generator,
        discriminator,
        penalties,
        conditional=bool(given["num_classes"] or given["num_attributes"]) if conditional is None else conditional,
        augment=make("augment", augments, recipe.augment) if recipe.augment else None,
    )


def duel_of(
    kind: Callable[..., D],
    recipe: Recipe,
    generator: nn.Module,
    discriminator: nn.Module,
    penalties: Mapping[str, Callable[..., Penalty]] = MappingProxyType({}),
    **options: Any,
) -> D:
    """A game of class `kind` (Duel or a subclass) with the loss, the penalties, the prior and the rules of a recipe.

    penalties: see `duel`. options: further arguments of `kind`. UserError names the recipe where they do not go together.
    """
    try:
        return kind(
            generator,
            discriminator,
            loss=pair(recipe),
            penalties=penalties_of(recipe, penalties),
            prior=recipe.prior,
            rules=recipe.rules,
            **options,
        )
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"Recipe {recipe.name}: {error}.") from None


def generator(
    recipe: Recipe,
    generators: Mapping[str, Callable[..., Any]],
    shape: Any,
    num_classes: int = 0,
    num_attributes: int = 0,
) -> nn.Module:
    """The generator of that game alone, with the same weights."""
    with seeded(recipe):
        return network(  # type: ignore[no-any-return]
            "generator", generators, recipe.generator, shape, condition_sizes(recipe, num_classes, num_attributes)
        )


def condition_sizes(recipe: Recipe, num_classes: int, num_attributes: int = 0) -> dict[str, int]:
    """The keywords of a network for the sizes of its condition."""
    conditional = recipe.conditional is True
    return {
        "latent": recipe.prior.size,
        "num_classes": num_classes if conditional and not num_attributes else 0,
        "num_attributes": num_attributes if conditional else 0,
    }


def both(**settings: Any) -> dict[str, OptimizerConfig]:
    """The same OptimizerConfig for generator and discriminator; settings: its fields."""
    return {"generator": OptimizerConfig(**settings), "discriminator": OptimizerConfig(**settings)}


@contextlib.contextmanager
def seeded(recipe: Recipe) -> Iterator[None]:
    """A context in which networks are initialised from the recipe's seed alone; it restores torch's random state."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(recipe.seed, "weights"))
        yield


def network(
    role: str, kinds: Mapping[str, Callable[..., Any]], wanted: Component, shape: Any, given: dict[str, int]
) -> Any:
    """One network of a duel. UserError for a network without support for attributes when there are some."""
    maker = kinds.get(wanted.kind)
    if maker is not None and given["num_attributes"] and "num_attributes" not in inspect.signature(maker).parameters:
        raise UserError(f"{role}.kind = {wanted.kind!r} takes no attributes. Use another kind, or conditional=false.")
    _check_depth(role, wanted)
    return make(role, kinds, wanted, shape, **given)


def pair(recipe: Recipe) -> losses.GANLoss:
    """The loss that a recipe names."""
    pairs = losses.table()
    if recipe.loss not in pairs:
        raise UserError(f"loss: there is no {recipe.loss!r}. {nearest(recipe.loss, pairs)}")
    try:
        return losses.smoothed(pairs[recipe.loss], recipe.real_label) if recipe.real_label < 1 else pairs[recipe.loss]
    except ValueError as error:
        raise UserError(f"real_label = {recipe.real_label}: {error}.") from None


def penalties_of(recipe: Recipe, own: Mapping[str, Callable[..., Penalty]] = MappingProxyType({})) -> list[Penalty]:
    """The penalties that a recipe names. own: makers of the domain's own penalties, beside the engine's."""
    for name, part in recipe.penalties.items():
        if recipe.augment is None and part.options.get("through_augment"):
            raise UserError(f"penalties.{name}.through_augment has no use without an augmentation; set augment.")
    return [_penalty(penalty_maker(name, own), name, part.options) for name, part in recipe.penalties.items()]


def penalty_maker(
    name: str, own: Mapping[str, Callable[..., Penalty]] = MappingProxyType({})
) -> Callable[..., Penalty]:
    """The function that makes the penalty of that name; UserError where there is none. own: those of the domain."""
    makers = {**penalties.table(), **own}
    if name not in makers:
        raise UserError(f"penalties: there is no {name!r}. {nearest(name, makers)}")
    return makers[name]


def _penalty(maker: Callable[..., Penalty], name: str, options: Mapping[str, Any]) -> Penalty:
    accepted = inspect.signature(maker).parameters
    for option in options:
        if option not in accepted:
            raise UserError(f"penalties.{name}: there is no option {option!r}. {nearest(option, accepted)}")
    try:
        weight = resolved_number(options["weight"], f"penalties.{name}.weight")
        return maker(**{**options, "weight": weight})
    except UserError:
        raise
    except (ValueError, TypeError) as error:
        raise UserError(f"penalties.{name}: {error}.") from None
