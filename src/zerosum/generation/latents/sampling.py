"""The further kinds of samples of `zerosum sample`: class grids, saved latents, moves along directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from zerosum import memory
from zerosum.domain import ClassCondition, SampleResult
from zerosum.errors import UserError, within
from zerosum.generation.labelled_grid import MOST_COLUMNS, Layout
from zerosum.generation.latents import directions
from zerosum.generation.latents.space import Latents, Space
from zerosum.generation.sampler import MOST_SAMPLES, TrainedGenerator, check_num_samples, in_turn, write_samples


@dataclass(frozen=True)
class SampleOptions:
    """The options of `zerosum sample`. num: None for 64, or for 8 rows of a class grid. labels: in turn.

    grid: "classes" or None. moves: words such as "2=-1.5". latent: a file of saved latents.
    attributes: requested values in the units of the data. own: values of the domain's own options for writing.
    """

    num: int | None = None
    seed: int = 0
    labels: tuple[int | str, ...] = ()
    truncation: float = 1.0
    grid: str | None = None
    moves: tuple[str, ...] = ()
    latent: Path | None = None
    attributes: Mapping[str, float] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)


def make_samples(generator: TrainedGenerator, options: SampleOptions, target: Path = Path()) -> tuple[Tensor, Layout]:
    """(samples, layout of their sheet). target: where they will be written; UserError, before samples are made, when they are too
    many for one picture."""
    if options.grid not in (None, "classes"):
        raise UserError(f"--grid {options.grid}: the only grid is classes.")
    if options.num is not None:
        within("--num", options.num, 1, MOST_SAMPLES)
    if options.latent is not None:
        if options.num is not None or options.labels or options.attributes or options.grid or options.truncation != 1:
            raise UserError("--latent shows saved latents as they are; it goes with --direction and --out alone.")
        latents = Latents.load(options.latent)
        space = Space(generator, latents.space)
        check_num_samples(generator, len(latents), target, options=options.own)
        return space.render(move_latents(space, latents, options.moves)), Layout(
            each=class_names_of(generator, latents.condition)
        )
    wanted = options.attributes
    if options.grid:
        if options.moves or wanted:
            raise UserError(f"--grid and --{'direction' if options.moves else 'attributes'} do not go together.")
        rows, across = (
            8 if options.num is None else options.num,
            len(generator.classes(options.labels or range(len(_classes(generator))))),
        )
        check_num_samples(generator, rows * across, target, min(across, MOST_COLUMNS) or None, options.own)
        return class_grid(generator, rows, options.seed, options.labels, options.truncation)
    num = 64 if options.num is None else options.num
    check_num_samples(generator, num, target, options=options.own)
    labels = in_turn(options.labels, num)
    with generator.card_read():
        condition = generator.condition(num, options.seed, labels, wanted)
        layout = Layout(each=class_names_of(generator, condition))
    if not options.moves:
        return generator.sample(num, options.seed, labels, truncation=options.truncation, attributes=wanted), layout
    return sample_moved(
        generator, generator.sampler.noise(num, options.seed), condition, options.moves, options.truncation
    ), layout


def class_names_of(generator: TrainedGenerator, condition: Tensor | None) -> tuple[str, ...]:
    """The class of each sample made under this condition, as a part of a file name; () where the condition is not labels (N,)."""
    known = generator.sampler.info.condition
    if not isinstance(known, ClassCondition) or not generator.sampler.conditional or condition is None:
        return ()
    return () if condition.dim() != 1 or condition.is_floating_point() else known.file_names(condition)


def _classes(generator: TrainedGenerator) -> Sequence[object]:
    """The names, or numbers, of the classes that the generator is conditioned on; none without labels."""
    condition = generator.sampler.info.condition
    return condition.shown_names if generator.sampler.conditional and isinstance(condition, ClassCondition) else ()


def write_requested_samples(generator: TrainedGenerator, options: SampleOptions, target: Path) -> SampleResult:
    """Makes the requested samples and writes them."""
    with memory.explain_out_of_memory("Make fewer at once: a smaller --num."), memory.bounded(generator.sampler.device):
        samples, layout = make_samples(generator, options, target)
    notes = list[str]()
    paths = write_samples(generator, samples, target, layout, options.own, notes)
    return SampleResult(paths, len(samples), tuple(notes))


def class_grid(
    generator: TrainedGenerator,
    rows: int,
    seed: int,
    labels: Sequence[int | str] | None = None,
    truncation: float = 1.0,
) -> tuple[Tensor, Layout]:
    """(samples, layout): a column for each class (or each of `labels`) under its name, a row for each noise of
    `sample(rows, seed)`."""
    known = _classes(generator)
    if not known:
        raise UserError(f"--grid classes: the generator of {generator.path} was trained without classes.")
    if rows < 1:
        raise UserError(f"--num must be at least 1, got {rows}: the number of rows.")
    columns = generator.classes(labels or range(len(known)))
    noise = generator.sampler.noise(rows, seed).repeat_interleave(len(columns), 0)
    samples = generator.sampler.make(noise, columns.repeat(rows), truncation=truncation)
    names = tuple(str(known[int(label)]) for label in columns)
    numbers = tuple(str(int(label)) for label in columns)
    each = class_names_of(generator, columns) * rows
    layout = Layout(len(columns), names, each=each, instead=numbers, condition=columns.repeat(rows))
    return generator.domain.media.postprocess(samples, generator.recipe), layout


def sample_moved(
    generator: TrainedGenerator, noise: Tensor, condition: Tensor | None, moves: Sequence[str], truncation: float = 1.0
) -> Tensor:
    """The samples of this noise (N, L) and condition, moved along directions."""
    space = Space(generator)
    return space.render(move_latents(space, space.points(noise, condition, truncation), moves))


def move_latents(space: Space, latents: Latents, moves: Sequence[str]) -> Latents:
    """The latents moved by words such as "2=-1.5": along direction 2, by -1.5 standard deviations.

    The directions are those saved by `zerosum directions`, or else found here for all layers.
    """
    by = parse_moves(moves)
    if not by:
        return latents
    found = directions.load_directions(space.generator.path, space) or directions.find_directions(space, max(by) + 1)
    return found.move(latents, by)


def parse_moves(texts: Sequence[str]) -> dict[int, float]:
    """(["2=-1.5"]) -> {2: -1.5}; the same direction named twice adds up."""
    moves: dict[int, float] = {}
    for text in texts:
        name, equals, far = text.partition("=")
        try:
            if not equals or not name.strip().isdigit():
                raise ValueError
            moves[int(name)] = moves.get(int(name), 0.0) + float(far)
        except ValueError:
            raise UserError(f"--direction wants NUMBER=DEVIATIONS, for example 0=2.5; got {text!r}.") from None
    return moves
