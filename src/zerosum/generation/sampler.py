"""Samples from a generator, from a published folder alone, the same for any batch size; and samples written as files."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from zerosum import catalog
from zerosum.data.images.pictures import check_picture_size
from zerosum.domain import (
    ClassCondition,
    Condition,
    DatasetInfo,
    Domain,
    PreviewContext,
    SampleRequest,
    SampleResult,
    WriteOptions,
)
from zerosum.domain.contract import SOUND_ENDING, flag_of
from zerosum.domain.info import Label, requested_attributes, requested_labels
from zerosum.engine.game import Batch
from zerosum.engine.seeds import Prior, SeededNoise
from zerosum.errors import Damaged, UserError, nearest, within
from zerosum.formatting import in_shell
from zerosum.generation import labelled_grid
from zerosum.generation.labelled_grid import Layout
from zerosum.jsonfile import FINITE, made_of, non_finite, read_object
from zerosum.memory import AllocationLimit
from zerosum.nn import latent
from zerosum.recipe import Recipe, parse
from zerosum.store import decode, encode, write_durably, writing

WEIGHTS, CARD, EXAMPLES = "generator.safetensors", "generator.json", "examples.safetensors"
HUB_WEIGHTS, HUB_CARD = "model.safetensors", "config.json"
FORMAT = 2
"""Of generator.json. 1: described its data as a flat object, "facts"."""
BATCH = 512
MOST_SAMPLES = 10**9
"""Most samples that are held in memory at once; fewer fit where each has more than a few numbers."""
NORMAL_BLOCK = 16
"""Rows that are drawn together."""
NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})
T = TypeVar("T")


class Sampler:
    """A generator with all that is needed to sample from it: prior, description of its data, and examples."""

    def __init__(
        self,
        network: nn.Module,
        prior: Prior,
        info: DatasetInfo,
        conditional: bool,
        examples: Batch | None = None,
    ) -> None:
        self.network, self.prior, self.info, self.conditional = network, prior, info, conditional
        self.examples = examples
        self.device = next(network.parameters()).device
        self._requested: Callable[[int, int], Tensor | None] | None = None

    def requesting(self, conditions: Callable[[int, int], Tensor | None]) -> Sampler:
        """The same generator, whose `conditions` are those of this function of (num, seed)."""
        found = Sampler(self.network, self.prior, self.info, self.conditional, self.examples)
        found._requested = conditions
        return found

    def conditions(self, num: int, seed: int) -> Tensor | None:
        """(num, ...) conditions: those requested; else those of the examples in turn, where there are some; else as the training
        data have them, (num,) labels or (num, A) attributes (`Condition.sample`); None for an unconditional generator."""
        if self._requested is not None:
            return self._requested(num, seed)
        if not self.conditional:
            return None
        if self.examples is not None and self.examples.condition is not None:
            return self.examples.condition[torch.arange(num) % len(self.examples)]
        if self.info.condition is None:
            raise UserError("this generator is conditional, and its data have no condition.")
        return self.info.condition.sample(num, seed)

    def noise(self, num: int, seed: int = 0) -> Tensor:
        """(num, L) float32, what `sample` feeds to the generator. Row i depends on the seed and i alone."""
        # torch draws normal numbers 16 at a time and an incomplete last block anew: only whole blocks are stable.
        total = -(-num // NORMAL_BLOCK) * NORMAL_BLOCK
        return self.prior.draw(SeededNoise(seed, 0, 0, 0, num, total, torch.device("cpu")), "sample")

    def sample(
        self, num: int, seed: int = 0, condition: Tensor | None = None, batch: int = BATCH, truncation: float = 1.0
    ) -> Tensor:
        """(num, ...) float32 samples on the CPU in the domain's range; for images [-1, 1] up to the generator's overshoot.

        condition: (num,) labels or (num, A) attributes for a conditional generator; by default as `conditions` gives them.
        truncation: in [0, 1], less variety for more typical samples. A generator with a mapping network moves each w
        towards the mean of all; with any other the noise itself is truncated (`nn.latent.truncate`).
        """
        within("num", num, 1, MOST_SAMPLES)
        if self.conditional:
            condition = self.conditions(num, seed) if condition is None else condition
        elif condition is not None:
            raise UserError("this generator was trained without labels, so none can be asked for.")
        return self.make(self.noise(num, seed), condition, batch, truncation)

    def make(self, noise: Tensor, condition: Tensor | None, batch: int = BATCH, truncation: float = 1.0) -> Tensor:
        """Samples of given noise (N, L) and condition; otherwise as `sample`."""
        function, noise = self._truncated(noise, truncation)
        return self.apply(function, noise, condition, batch=batch)

    def _truncated(self, noise: Tensor, by: float) -> tuple[Callable[..., Tensor], Tensor]:
        """(function, noise): the function makes the truncated samples of this noise [, condition]."""
        if not 0 <= by <= 1:
            raise UserError(f"truncation must lie in [0, 1], got {by}: 1 samples as trained, 0 shows the mean alone.")
        network = self.network
        if by == 1:
            return network, noise
        if isinstance(network, latent.MappedGenerator):
            return lambda z, y=None: network.synthesis(network.mapping(z, y, by)), noise
        return self.network, latent.truncate(noise, self.prior.kind, self.prior.limit, by)

    @torch.no_grad()
    def apply(self, function: Callable[..., Tensor], *rows: Tensor | None, batch: int = BATCH) -> Tensor:
        """function(*rows) as float32 on the CPU, `batch` rows at a time with the network in eval mode; None is left out."""
        given = [row for row in rows if row is not None]
        num, training, samples = len(given[0]), self.network.training, torch.empty(0)
        self.network.eval()
        for start in range(0, num, batch):
            part = function(*(row[start : start + batch].to(self.device) for row in given))
            if len(part) == num:
                samples = part.float().cpu()
                break
            samples = samples if len(samples) else torch.empty(num, *part.shape[1:])
            samples[start : start + batch] = part
        self.network.train(training)
        return samples


def publish(
    folder: Path,
    network: nn.Module,
    recipe: Recipe,
    info: DatasetInfo,
    step: int,
    examples: Batch | None = None,
) -> None:
    """Writes generator.safetensors and generator.json, with examples.safetensors where there are examples: a generator that
    can be loaded from its folder alone."""
    body = encode(network.state_dict())
    about = generator_card(body, recipe, info, step) | {"replaces": _published_sha256(folder)}
    if examples is not None and not (folder / EXAMPLES).exists():  # they never change in a run
        write_durably(folder / EXAMPLES, encode(_example_tensors(examples)))
    # The card first: it also contains the SHA-256 of the old weights, so the pair is valid between the two renames.
    write_durably(folder / CARD, (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode())
    write_durably(folder / WEIGHTS, body)


def generator_card(body: bytes, recipe: Recipe, info: DatasetInfo, step: int) -> dict[str, Any]:
    """The content of generator.json: the recipe, the description of the data, and the SHA-256 of the weights in `body`."""
    digest = hashlib.sha256(body).hexdigest()
    return {
        "format": FORMAT,
        "step": step,
        "sha256": digest,
        "replaces": None,
        "recipe": recipe.to_json(),
        "dataset": info.to_json(),
    }


def _published_sha256(folder: Path) -> str | None:
    """SHA-256 of the weights in the folder, None when there are none."""
    try:
        return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def load(folder: Path, device: str = "cpu") -> tuple[Sampler, Recipe, Domain]:
    """Loads a published generator. Executes nothing from the folder; UserError for files that do not match the card."""
    weights, where = generator_files(folder)
    body, about = _read_files(weights, where)
    if about.get("format") != FORMAT:
        raise UserError(_other_format(about.get("format"), where))
    try:
        recipe, plain, sums = parse(about["recipe"], str(where)), about["dataset"], (about["sha256"], about["replaces"])
    except KeyError as error:
        raise UserError(f"{where} is incomplete: it has no {error}.") from None
    domain = catalog.domain(recipe.domain)
    info = domain.info_from_json(plain, where)
    if place := non_finite(about):
        raise UserError(f"{where}: {place} {FINITE}. Restore the file from a copy, or train again.")
    try:
        tensors = decode(body, weights)
    except Damaged as error:
        raise UserError(str(error)) from None
    with made_of(where):
        network = build_network(lambda: domain.game.generator(recipe, info), tensors, weights)
    if hashlib.sha256(body).hexdigest() not in sums:
        raise UserError(f"{weights} does not match the SHA-256 in {where.name}; the file was changed or damaged.")
    network, conditional = network.to(device).eval(), recipe.conditional is True
    return Sampler(network, recipe.prior, info, conditional, _examples(folder)), recipe, domain


def _other_format(found: object, where: Path) -> str:
    message = f"{where} has format {found!r}; this version of zerosum reads format {FORMAT}."
    if not isinstance(found, int) or found > FORMAT:
        return message
    return (
        f"{message} An earlier version wrote it: sample with that version, or publish the generator anew by training on for some "
        f"steps with this one (zerosum resume {in_shell(where.parent)} --steps N)."
    )


def build_network(build: Callable[[], nn.Module], tensors: Mapping[str, Tensor], weights: object) -> nn.Module:
    """The network that `build` returns, with these weights; its memory is limited by their size. UserError names `weights` when
    they belong to another network."""
    network = build_within_memory(build, tensors.values(), weights)
    try:
        network.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise UserError(f"{weights} holds the weights of another architecture: {_first_lines(error)}") from None
    return network


def build_within_memory(build: Callable[[], T], stored: Iterable[Tensor], weights: object) -> T:
    """The result of `build`; UserError when it allocates clearly more memory than the tensors in `stored` (AllocationLimit)."""
    try:
        with AllocationLimit(stored):
            return build()
    except MemoryError as error:
        reason = str(error) or "its description asks for more memory than there is"
        raise UserError(f"{weights} holds the weights of another architecture: {reason}.") from None


def _example_tensors(examples: Batch) -> dict[str, Tensor]:
    condition = {} if examples.condition is None else {"condition": examples.condition.cpu()}
    return {"data": examples.data.cpu(), **condition}


def _examples(folder: Path) -> Batch | None:
    """The examples stored with a generator, if any."""
    path = folder / EXAMPLES
    if not path.exists():
        return None
    try:
        found = decode(path.read_bytes(), path)
    except Damaged as error:
        raise UserError(str(error)) from None
    if "data" not in found or any(len(rows) != len(found["data"]) for rows in found.values() if rows.dim()):
        raise UserError(f"{path} holds no examples. Restore it from a copy, or train again.")
    return Batch(found["data"], found.get("condition"))


def generator_files(folder: Path) -> tuple[Path, Path]:
    """Weights and card of the generator in a folder: as a run publishes them, or as the Hugging Face hub names them."""
    if (folder / HUB_CARD).exists() and not (folder / CARD).exists():
        return folder / HUB_WEIGHTS, folder / HUB_CARD
    return folder / WEIGHTS, folder / CARD


def _read_files(weights: Path, where: Path) -> tuple[bytes, dict[str, Any]]:
    """Weights and card. The weights are read first: a card that is read later always lists their SHA-256."""
    folder = weights.parent
    try:
        body = weights.read_bytes()
        about = read_object(where)
    except FileNotFoundError as error:
        why = (
            "This run has not saved yet; it does so at its first checkpoint." if (folder / "run.json").exists() else ""
        )
        missing = Path(error.filename).name
        raise UserError(f"{folder} holds no published generator: {missing} is missing. {why}".strip()) from None
    except (OSError, Damaged) as error:
        raise UserError(f"The generator in {folder} cannot be read: {error}.") from None
    return body, about


def _first_lines(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines()[1:4]]
    return " ".join(line if len(line) < 160 else line[:157] + "..." for line in lines)


Asked = Label | Sequence[Label] | Tensor


class TrainedGenerator:
    """The generator in a folder, with its recipe and its domain. path: of the folder."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self.path = path
        self.sampler, self.recipe, self.domain = load(path, device)

    def sample(
        self,
        num: int = 64,
        seed: int = 0,
        labels: Asked | None = None,
        batch: int = BATCH,
        truncation: float = 1.0,
        attributes: Mapping[str, float] | None = None,
        *,
        label: Asked | None = None,
    ) -> Tensor:
        """(num, ...) float32 samples on the CPU; for images (num, C, H, W) in [-1, 1]. The same for any `batch`.

        truncation: in [0, 1]; 1 samples as trained, less gives more typical samples and less variety. labels, attributes:
        see `condition`. label: the same as labels.
        """
        if label is not None:
            if labels is not None:
                raise UserError("label and labels are the same; give one of them.")
            labels = label
        with self.card_read():
            wanted = self.condition(num, seed, labels, attributes)
            return self.domain.media.postprocess(self.sampler.sample(num, seed, wanted, batch, truncation), self.recipe)

    def transform(self, data: Any, seed: int = 0, **options: Any) -> npt.NDArray[Any]:
        """The output for one input in memory: of translation and super-resolution an image, of medical images a volume.

        data: an array of the values that files hold: (H, W) or (H, W, C) of uint8 or uint16; (X, Y, Z) of label numbers or grey
        values, in the orientation of NIfTI's RAS and with the spacing of the training rows. The output has the same axes.
        options: those of `zerosum sample` for this generator, such as strength=0.5, without those that name files.
        """
        media = self.domain.media
        if media.transform is None:
            raise UserError(
                f"transform: generators of the domain {self.domain.name} make samples from noise. Use sample()."
            )
        possible = [option.name for option in media.sample_options if option.kind != "paths" and not option.writing]
        for name in options:
            if name not in possible:
                raise UserError(f"transform: {name!r} is no option of this generator. {nearest(name, possible)}")
        with self.card_read():
            request = SampleRequest(None, seed, self.path, options)
            return media.transform(self.sampler, self.sampler.info, np.asarray(data), request)

    def card_read(self) -> contextlib.AbstractContextManager[None]:
        """A context in which errors caused by a changed card become a UserError that names the card (jsonfile.made_of)."""
        return made_of(generator_files(self.path)[1])

    def produce(self, wanted: SampleRequest, usual: bool = False) -> SampleResult | None:
        """Samples by the domain's own function, such as streams of rows or whole files; None where the domain has none for this
        request, and with `usual`, for options that only the general function supports. Classes and attributes are such options
        unless the domain's function samples under conditions (`Media.sample_conditional`)."""
        declared = {option.name: option for option in self.domain.media.sample_options}
        if unknown := [flag_of(name) for name in wanted.options if name not in declared]:
            own = ", ".join(option.flag for option in declared.values())
            raise UserError(
                f"{' and '.join(unknown)}: `sample` has no such option for the domain {self.domain.name!r}. "
                + (f"It has: {own}." if own else "It has none of its own.")
            )
        usual = usual or (wanted.conditional and not self.domain.media.sample_conditional)
        with self.card_read():
            produced = None if usual else self.domain.media.sample(self._asked(wanted), self.sampler.info, wanted)
        left = [flag_of(name) for name in wanted.options if not declared[name].writing]
        if produced is None and left:
            general = "--truncation, --grid, --direction and --latent do not go with it"
            others = general if self.domain.media.sample_conditional else f"--label, --attributes, {general}"
            why = others if usual else "it has no use for these samples"
            raise UserError(f"{' and '.join(left)}: {why}.")
        return produced

    def _asked(self, wanted: SampleRequest) -> Sampler:
        """The sampler whose conditions are those of the request."""
        if not wanted.conditional:
            return self.sampler
        return self.sampler.requesting(
            lambda num, seed: self.condition(num, seed, in_turn(wanted.labels, num), wanted.attributes)
        )

    def condition(
        self, num: int, seed: int, labels: Asked | None = None, attributes: Mapping[str, float] | None = None
    ) -> Tensor | None:
        """The condition of each sample; None for an unconditional generator. labels: numbers or names of classes,
        or values of a field of their names, one for all or one each (`ClassCondition.numbers`). attributes: requested values in
        the units of the data; attributes that are not requested are drawn as in the training data."""
        if labels is not None and attributes:
            raise UserError(
                "--label and --attributes do not go together: a generator is conditioned on one or the other."
            )
        if labels is not None:
            return requested_labels(self._condition(), labels, num, several=True)
        if attributes:
            return requested_attributes(self._condition(), attributes, num, seed)
        return self.sampler.conditions(num, seed)

    def labels(self, labels: Asked, num: int) -> Tensor:
        """(num,) labels from numbers or names of single classes, one for all or one each."""
        return requested_labels(self._condition(), labels, num)

    def classes(self, labels: Sequence[Label]) -> Tensor:
        """(C,) the classes that these labels mean, all those of each label in turn."""
        condition = self._condition()
        numbers = [condition.numbers(one) for one in labels] if isinstance(condition, ClassCondition) else []
        return torch.tensor([one for each in numbers for one in each], dtype=torch.int64)

    def _condition(self) -> Condition | None:
        """What this generator is conditioned on; None for an unconditional one."""
        return self.sampler.info.condition if self.sampler.conditional else None


def in_turn(labels: Sequence[Label], num: int) -> list[Label] | None:
    """A label for each of `num` samples; None where there are no labels."""
    return [labels[i % len(labels)] for i in range(num)] if labels else None


# --- samples as files


def write_samples(
    generator: TrainedGenerator,
    samples: Tensor,
    target: Path,
    layout: int | Layout = 0,
    options: Mapping[str, Any] = NO_OPTIONS,
    notes: list[str] | None = None,
) -> list[Path]:
    """Writes samples as files in the format of the target's ending; if the layout has columns, as one picture or, in a domain of
    sounds, as one .wav file. options: values of the domain's own options for writing. notes: receives what the user should know
    of the files."""
    layout = Layout(layout) if isinstance(layout, int) else layout
    with generator.card_read(), writing(target) as aside:
        sound = generator.domain.media.sound
        if layout.columns and sound is not None and target.suffix.lower() == SOUND_ENDING:
            info, condition = generator.sampler.info, layout.condition
            sound(samples, aside, PreviewContext(layout.columns, info, condition=condition, options=options))
            return [target]
        if not layout.columns or target.suffix.lower() not in labelled_grid.PICTURES:
            written = generator.domain.media.write(
                samples,
                aside,
                generator.sampler.info,
                WriteOptions(layout.each, options, [] if notes is None else notes),
            )
            return [_final_path(path, aside, target) for path in written]
        labelled_grid.write(generator.domain, samples, aside, layout, generator.sampler.info, options)
        return [target]


def _final_path(path: Path, aside: Path, target: Path) -> Path:
    """The final path of a file that was written to a temporary place."""
    return target.parent / path.relative_to(aside.parent)


def check_num_samples(
    generator: TrainedGenerator,
    num: int,
    target: Path,
    columns: int | None = None,
    options: Mapping[str, Any] = NO_OPTIONS,
) -> None:
    """UserError when so many samples would give too large a picture, and for invalid options; called before samples are made.
    columns: of a grid; None: about as many as rows."""
    media, tile = generator.domain.media, None
    if media.tile is not None:
        with generator.card_read():
            tile = media.tile(generator.sampler.info, WriteOptions(options=options))
    if target.suffix.lower() not in labelled_grid.PICTURES:
        return
    check_sheet(generator, target)
    if tile is not None:
        check_picture_size(num, tile, target, columns)


def check_sheet(generator: TrainedGenerator, target: Path) -> None:
    """UserError where samples of the domain cannot be laid out on one picture."""
    if not generator.domain.media.draws:
        raise UserError(
            f"--out {target}: samples of the domain {generator.domain.name!r} cannot be shown as one picture; its previews are "
            f"{generator.domain.media.preview_ending} files."
        )
