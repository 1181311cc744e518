"""Transfer learning: a run that starts with the weights of another run, and a discriminator with frozen first layers.

Wang et al. 2018, arXiv:1805.01677 (transfer of both networks); Mo et al. 2020 (FreezeD), arXiv:2002.10964.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from zerosum import catalog
from zerosum.domain import DatasetInfo
from zerosum.engine.game import DISCRIMINATOR, GENERATOR, Game
from zerosum.errors import UserError
from zerosum.generation.sampler import WEIGHTS, load
from zerosum.jsonfile import made_of
from zerosum.recipe import Component, InitFrom, Intervals, Recipe, override, part
from zerosum.run_folder import RunFolder
from zerosum.store import checkpoints, fingerprint, latest_checkpoint

MOST_NAMED = 4
"""Most tensors that a message names."""


@dataclass(frozen=True)
class InitialWeights:
    """The weights in a folder, on the CPU, with the recipe and the data that they were trained with.

    states: player -> its tensors; those of the discriminator only when the folder holds a checkpoint. sha256: of the file
    generator.safetensors, and of the discriminator's tensors (store.fingerprint).
    """

    folder: str
    recipe: Recipe
    info: DatasetInfo
    states: Mapping[str, Mapping[str, Tensor]]
    sha256: Mapping[str, str]


def requested_start(named: Recipe | None, settings: Sequence[str]) -> InitFrom | None:
    """The `start` of a recipe with its settings; UserError for a misspelt field of it."""
    bare = named or Recipe(name="none", generator=part("none"), discriminator=part("none"))
    return override(bare, [s for s in settings if s.partition("=")[0].split(".")[0] == "start"]).start


def load_initial_weights(folder: str) -> InitialWeights:
    """The weights of a run folder, or of a folder with a published generator; UserError when there are none."""
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"start.from = {folder!r}: there is no such folder. Give a run folder, as in runs/faces.")
    sampler, recipe, _ = load(root)
    states: dict[str, Mapping[str, Tensor]] = {GENERATOR: sampler.network.state_dict()}
    sha256 = {GENERATOR: hashlib.sha256((root / WEIGHTS).read_bytes()).hexdigest()}
    checkpoint = latest_checkpoint(root / "checkpoints")
    with made_of(root / "checkpoints"):
        if checkpoint is not None and DISCRIMINATOR in checkpoint["match"]["networks"]:
            states[DISCRIMINATOR] = checkpoint["match"]["networks"][DISCRIMINATOR]
            sha256[DISCRIMINATOR] = fingerprint(states[DISCRIMINATOR])
    return InitialWeights(folder, recipe, sampler.info, states, sha256)


def weights_to_resume(run: RunFolder, start: InitFrom | None) -> InitialWeights | None:
    """The initial weights of a run that is resumed: None when it has a checkpoint; UserError when the weights have changed."""
    if start is None or checkpoints(run.checkpoints):
        return None
    found = load_initial_weights(start.folder)
    if dict(found.sha256) != (run.read("run.json").get("start") or {}).get("sha256"):
        raise UserError(
            f"{run} has no checkpoint yet, and the weights in {start.folder} are no longer those that it started with. "
            f"Start a new run with `zerosum train --start {start.folder}`."
        )
    return found


def recipe_for_new_data(beginning: InitialWeights) -> Recipe:
    """The recipe of the initial weights for other data: the same game; what depends on its data, its length or its machine is
    resolved again. For a recipe with a known name, values that the length of the old run decided are reset."""
    old = beginning.recipe
    known = catalog.recipes().get(old.name)
    if known is not None:
        anew = ["learning", "ema", "steps", "batch"]
        anew += ["penalties"] if known.penalties.keys() == old.penalties.keys() else []
        old = old.changed(**{field: known.to_json()[field] for field in anew})
    return old.changed(
        data=Component(kind="none"),
        start=None,
        device="auto",
        precision="auto",
        threads=0,
        micro_batches=1,
        cadence=Intervals(),
    )


def matching_data_options(beginning: InitialWeights) -> dict[str, Any]:
    """Options of `data` that give samples the shape of the initial weights, where the domain has them (`Data.read_like`)."""
    return dict(catalog.domain(beginning.recipe.domain).data.read_like(beginning.info))


def apply_initial_weights(game: Game, recipe: Recipe, info: DatasetInfo, beginning: InitialWeights | None) -> list[str]:
    """Loads the initial weights into the players and freezes layers; returns notes on both.

    beginning: None when the weights come from a checkpoint of the run itself. UserError when they do not fit.
    """
    start, notes = recipe.start, list[str]()
    if start is None:
        return []
    if beginning is not None:
        _check(beginning, recipe, info)
        for name in (GENERATOR, DISCRIMINATOR):
            notes += _load_weights(game.players[name], name, beginning, start)
    if start.freeze:
        notes.append(_freeze_discriminator(game.players[DISCRIMINATOR], start))
    return notes


def _check(beginning: InitialWeights, recipe: Recipe, info: DatasetInfo) -> None:
    """UserError when the two runs generate different kinds of samples, before loading fails with the shapes of tensors."""
    start, theirs = recipe.start, beginning.recipe
    assert start is not None
    where = f"start.from = {beginning.folder!r}"
    if theirs.domain != recipe.domain:
        raise UserError(f"{where}: its domain is {theirs.domain}, that of these data is {recipe.domain}.")
    alike = matching_data_options(beginning)
    if alike and beginning.info.sample.axes != info.sample.axes:
        settings = " ".join(
            f"--set data.{name}={json.dumps(value, separators=(',', ':'))}" for name, value in alike.items()
        )
        raise UserError(
            f"{where}: its samples are {beginning.info.sample.description} ({_axes(beginning.info)}), these are "
            f"{info.sample.description} ({_axes(info)}). Read them as it does: {settings}."
        )
    conditions = [_condition_text(theirs, beginning.info), _condition_text(recipe, info)]
    if conditions[0] != conditions[1] and not start.partial:
        unconditional = ", or train without conditions: --set conditional=false" if conditions[0] == "nothing" else ""
        raise UserError(
            f"{where}: its networks are conditioned on {conditions[0]}, these on {conditions[1]}. Load all that fits with --set "
            f"start.partial=true{unconditional}."
        )
    if start.freeze and DISCRIMINATOR not in beginning.states:
        raise UserError(
            f"start.freeze = {start.freeze}: {beginning.folder} has no checkpoint, so its discriminator is gone, and frozen "
            "layers would stay as they were drawn. Leave freeze out, or start from a whole run folder."
        )


def _condition_text(recipe: Recipe, info: DatasetInfo) -> str:
    """The condition of a game, in words."""
    if recipe.conditional is not True:
        return "nothing"
    attributes = info.num_attributes
    return f"{attributes} attributes" if attributes else f"labels of {info.num_classes} classes"


def _axes(info: DatasetInfo) -> str:
    return ", ".join(f"{name} {size}" for name, size in info.sample.axes.items())


def _load_weights(network: nn.Module, player: str, beginning: InitialWeights, start: InitFrom) -> list[str]:
    """Loads the tensors of the same name and shape; UserError unless these are all, or `start.partial` is set."""
    if player not in beginning.states:
        return [f"Start: {beginning.folder} has no checkpoint, so the {player} begins anew."]
    own, given = network.state_dict(), beginning.states[player]
    fitting = {name: tensor for name, tensor in given.items() if name in own and own[name].shape == tensor.shape}
    left = [_difference(name, own.get(name), given.get(name)) for name in {**own, **given} if name not in fitting]
    share = _count(fitting) / _count(own)
    if left and (not start.partial or not fitting):
        rest = ", or take what fits with --set start.partial=true" if fitting else ""
        raise UserError(
            f"start.from = {beginning.folder!r}: its {player} is another network. Different: {_list_some(left)}\nWithout "
            f"--recipe and settings of {player}.* the start's own network is used{rest}."
        )
    network.load_state_dict(fitting, strict=not left)
    taken = (
        f"Start: the {player} of {beginning.folder} (SHA-256 {beginning.sha256[player][:12]}), {len(fitting)} tensors"
    )
    rest = f"{_percent(share)} of this network's numbers; not taken: {_list_some(left)}" if left else "all of it."
    return [f"{taken}, {rest}"]


def _percent(share: float) -> str:
    """Rounded down, so that only the whole is 100%; a small part is never 0%."""
    return f"{math.floor(100 * share)}%" if not 0 < share < 0.01 else "less than 1%"


def _count(state: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() for tensor in state.values())


def _difference(name: str, own: Tensor | None, given: Tensor | None) -> str:
    sizes = ["none" if x is None else "x".join(map(str, x.shape)) or "a number" for x in (own, given)]
    return f"{name} ({sizes[0]} here, {sizes[1]} there)"


def _list_some(lines: Sequence[str]) -> str:
    more = f" and {len(lines) - MOST_NAMED} more" if len(lines) > MOST_NAMED else ""
    return f"{'; '.join(lines[:MOST_NAMED])}{more}."


# --- frozen layers


def freezable_layers(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The parts of a network that can be frozen one after the other: (name, module), in order of definition.

    Lists and sequences are opened; every other direct part with a matrix or a convolution is one layer, whether that is one
    convolution or a whole residual block. Parts for the condition (embed...) are none.
    """
    return [(name, part) for name, part in _parts(network) if _is_layer(name, part)]


def freeze_layers(network: nn.Module, count: int) -> list[str]:
    """Freezes the first `count` layers and the parts between them, such as norms; returns the names of the layers.

    ValueError unless at least one layer stays trainable.
    """
    names = [name for name, _ in freezable_layers(network)]
    if not 0 <= count < len(names):
        raise ValueError(f"it has {len(names)} layers ({', '.join(names)}), and the last must learn")
    seen = 0
    for name, module in _parts(network):
        seen += _is_layer(name, module)
        if seen > count:
            break
        if not _of_condition(name, module):
            module.requires_grad_(False)
    return names[:count]


def _freeze_discriminator(network: nn.Module, start: InitFrom) -> str:
    try:
        names = freeze_layers(network, start.freeze)
    except ValueError as error:
        raise UserError(f"start.freeze = {start.freeze} is too many for this discriminator: {error}.") from None
    return f"Start: layers of the discriminator that keep the weights they begin with: {', '.join(names)}."


def _parts(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if isinstance(child, nn.Sequential | nn.ModuleList):
            yield from _parts(child, f"{path}{name}.")
        else:
            yield f"{path}{name}", child


def _is_layer(name: str, module: nn.Module) -> bool:
    return not _of_condition(name, module) and any(p.dim() > 1 for p in module.parameters())


def _of_condition(name: str, module: nn.Module) -> bool:
    return name.startswith("embed") or isinstance(module, nn.Embedding)
