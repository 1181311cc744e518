"""A published generator, loaded: what can be sampled from it without its data and without its discriminator."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from zerosum.domain import Condition, SampleRequest, SampleResult
from zerosum.domain.info import Label, requested_attributes, requested_labels
from zerosum.domain.sample_options import flag_of
from zerosum.errors import UserError
from zerosum.generation.sampler import BATCH, load, names_in
from zerosum.jsonfile import made_of

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
    ) -> Tensor:
        """(num, ...) float32 samples on the CPU; for images (num, C, H, W) in [-1, 1]. The same for any `batch`.

        truncation: in [0, 1]; 1 samples as trained, less gives more typical samples and less variety. labels, attributes:
        see `condition`.
        """
        with self.card_read():
            wanted = self.condition(num, seed, labels, attributes)
            return self.domain.media.postprocess(self.sampler.sample(num, seed, wanted, batch, truncation), self.recipe)

    def card_read(self) -> contextlib.AbstractContextManager[None]:
        """For work with the recipe and the DatasetInfo in the folder's card, which others may have changed (jsonfile.made_of)."""
        return made_of(names_in(self.path)[1])

    def produce(self, wanted: SampleRequest, usual: bool = False) -> SampleResult | None:
        """The domain's own way to make samples: streams of rows, whole files; None where it has none for what is wanted, and
        where, `usual`, something is asked for that only the usual way can do."""
        declared = {option.name: option for option in self.domain.media.sample_options}
        if unknown := [flag_of(name) for name in wanted.options if name not in declared]:
            own = ", ".join(option.flag for option in declared.values())
            raise UserError(
                f"{' and '.join(unknown)}: `sample` has no such option for the domain {self.domain.name!r}. "
                + (f"It has: {own}." if own else "It has none of its own.")
            )
        with self.card_read():
            produced = None if usual else self.domain.media.sample(self.sampler, self.sampler.info, wanted)
        left = [flag_of(name) for name in wanted.options if not declared[name].writing]
        if produced is None and left:
            why = "the other options do not go with it" if usual else "it has no use for these samples"
            raise UserError(f"{' and '.join(left)}: {why}.")
        return produced

    def condition(
        self, num: int, seed: int, labels: Asked | None = None, attributes: Mapping[str, float] | None = None
    ) -> Tensor | None:
        """What the generator hears; None for one without conditions. labels: see `labels`. attributes: those that are asked for,
        in the units of the data. What is not asked for is as in the training data."""
        if labels is not None:
            return self.labels(labels, num)
        if attributes:
            return requested_attributes(self._condition(), attributes, num, seed)
        return self.sampler.conditions(num, seed)

    def labels(self, labels: Asked, num: int) -> Tensor:
        """(num,) labels from numbers or names of classes, one for all or one each."""
        return requested_labels(self._condition(), labels, num)

    def _condition(self) -> Condition | None:
        """What this generator is conditioned on; None for an unconditional one."""
        return self.sampler.info.condition if self.sampler.conditional else None
