"""Ready parts for a new domain: sources of rows, conditions, an evaluator over any features, and files of numbers.

Legend: N rows, ``...`` the shape of one sample, C classes, A attributes, F features.

    tensor_source(name, data, labels=...)      rows in memory, with a held-out part
    mapped_source(path, labels=...)            rows of a .npy file that stays on the disk
    holds_arrays, read_arrays                  files .npy and .npz of rows, with or without labels
    info(source, sample, payload)              what a domain says of such a source
    class_condition, attribute_condition       what labels (N,) or attributes (N, A) say of the rows
    FeatureEvaluator(source, extract, name)    Frechet distance and copies in any features, with controls that must fail
    write_numbers, read_numbers, ENDINGS       samples as .npy or .csv (.npz is read too)
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerosum.data import numpy_files
from zerosum.data.opening import expand_path, is_regular
from zerosum.domain.contract import QuickMetrics, WriteOptions, stage
from zerosum.domain.info import AttributeCondition, ClassCondition, Condition, DatasetInfo, SampleInfo
from zerosum.engine.game import Batch
from zerosum.engine.seeds import generator
from zerosum.errors import UserError
from zerosum.metrics.distances import frechet_distance
from zerosum.metrics.neighbours import diversity, memorisation, sample_rows, unseen_distances
from zerosum.metrics.record import Record, unclear

ENDINGS = (".npy", ".csv")
"""Of the files that `write_numbers` writes and `read_numbers` reads."""
ROWS, LABELS = "x", "labels"
"""The arrays of an .npz file of rows with labels, as `zs.train((x, labels))` writes it."""
NUMBERS = "buif"
"""The kinds of NumPy types that are real numbers."""
NUM_EXAMPLES = 64
"""Rows of attributes that a published generator keeps to sample under."""
BATCH = 512
"""Rows whose features are computed at once."""
LEAST_MEASURED = 2
"""Rows of which a Frechet distance can be computed."""


# --- conditions


def class_condition(labels: Tensor, names: Sequence[str] = ()) -> ClassCondition:
    """The classes of training rows (N,) int64, numbered from 0; names: of all classes, () if they have none."""
    counts = torch.bincount(labels, minlength=len(names))
    return ClassCondition(tuple(counts.tolist()), tuple(names))


def attribute_condition(
    attributes: Tensor, names: Sequence[str], training: Tensor | None = None
) -> tuple[Tensor, AttributeCondition]:
    """(N, A) numbers -> (the numbers standardised, float32; what they are).

    training: indices of the rows that mean and deviation are taken from; None: all rows. A column with one value becomes 0.
    """
    values = attributes.double()
    known = values if training is None else values[training]
    mean, deviation = known.mean(0), known.std(0, correction=0)
    deviation = torch.where(deviation > 0, deviation, 1.0)
    scaled = ((values - mean) / deviation).float()
    rows = (scaled if training is None else scaled[training])[:NUM_EXAMPLES]
    scales = tuple(zip(mean.tolist(), deviation.tolist(), strict=True))
    return scaled, AttributeCondition(tuple(names), scales, tuple(map(tuple, rows.tolist())))


# --- sources


def heldout_split(num_rows: int, share: float, seed: int = 0, most: int | None = None) -> tuple[Tensor, Tensor]:
    """(training rows, held-out rows): int64 indices in an order drawn from the seed; at least one row is trained on.

    most: of the held-out rows. ValueError unless 0 <= share < 1.
    """
    refuse_share(share)
    order = torch.randperm(num_rows, generator=generator(seed, "held out"))
    held = min(round(share * num_rows), num_rows - 1 if most is None else most)
    return order[: num_rows - held], order[num_rows - held :]


def refuse_share(share: float) -> None:
    """ValueError unless a share of held-out rows lies in [0, 1)."""
    if not 0 <= share < 1:
        raise ValueError(f"heldout must lie in [0, 1), got {share}")


def heldout_note(num: int, noun: str = "rows") -> str:
    """The sentence about held-out rows."""
    return f"{num:,} more {noun} are held out: never trained on, used to measure by."


@dataclass(frozen=True, eq=False)
class TensorSource:
    """Rows in memory: training rows `data` (N, ...) and rows that are never trained on, `heldout` (H, ...).

    labels, heldout_labels: (N,) int64 classes or (N, A) float32 attributes, as `condition` describes them; None without.
    payload: the domain's own values, which `info` puts into DatasetInfo.payload.
    """

    name: str
    data: Tensor
    heldout: Tensor
    labels: Tensor | None = None
    heldout_labels: Tensor | None = None
    condition: Condition | None = None
    notes: tuple[str, ...] = ()
    payload: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        """Training rows."""
        return len(self.data)

    @property
    def num_heldout(self) -> int:
        """Rows that are never trained on."""
        return len(self.heldout)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the training rows, and of their labels where there are some."""
        digest = hashlib.sha256(self.data.cpu().contiguous().numpy().tobytes())
        if self.labels is not None:
            digest.update(self.labels.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def batch(self, indices: Tensor) -> Batch:
        """The training rows of `indices`."""
        return _picked(self.data, self.labels, indices)

    def heldout_batch(self, indices: Tensor) -> Batch:
        """The held-out rows of `indices`."""
        return _picked(self.heldout, self.heldout_labels, indices)

    def to(self, device: torch.device) -> Self:
        """The same rows on another device."""
        labels, held = (None if rows is None else rows.to(device) for rows in (self.labels, self.heldout_labels))
        return replace(
            self, data=self.data.to(device), heldout=self.heldout.to(device), labels=labels, heldout_labels=held
        )


def _picked(rows: Tensor, labels: Tensor | None, indices: Tensor) -> Batch:
    indices = indices.to(rows.device)
    return Batch(rows[indices], None if labels is None else labels[indices])


def info(
    source: TensorSource | MappedSource, sample: SampleInfo, payload: Mapping[str, Any] | None = None
) -> DatasetInfo:
    """What is known of the data of a source. sample: its axes and a description. payload: the domain's own values, in addition to
    those of the source."""
    return DatasetInfo(
        source.name,
        source.num_rows,
        source.num_heldout,
        source.fingerprint,
        sample,
        source.notes,
        source.condition,
        {**source.payload, **(payload or {})},
    )


def tensor_source(
    name: str,
    data: Tensor,
    labels: Tensor | None = None,
    *,
    class_names: Sequence[str] = (),
    attribute_names: Sequence[str] = (),
    heldout: float = 0.1,
    seed: int = 0,
    notes: Sequence[str] = (),
    payload: Mapping[str, Any] = MappingProxyType({}),
) -> TensorSource:
    """A source of rows (N, ...) in memory; a share `heldout` of them, drawn from the seed, is never trained on.

    labels: (N,) integers, the classes, or with `attribute_names` (N, A) numbers. UserError where sizes do not fit, and for
    numbers that are NaN or infinite.
    """
    refuse_not_finite(data, name)
    training, held = heldout_split(len(data), heldout, seed)
    labels, condition = _labelled(labels, class_names, attribute_names, len(data), training, name)
    all_notes = (*notes, heldout_note(len(held))) if len(held) else tuple(notes)
    first, second = (None, None) if labels is None else (labels[training], labels[held])
    return TensorSource(name, data[training], data[held], first, second, condition, all_notes, payload)


def refuse_not_finite(rows: Tensor, where: object, first: int = 0) -> None:
    """UserError names `where` and the first row of (N, ...) with a number that is NaN or infinite. first: the number of row 0."""
    if len(rows) and not bool(torch.isfinite(rows).all()):
        row = int(torch.isfinite(rows).reshape(len(rows), -1).all(1).logical_not().nonzero()[0])
        raise UserError(
            f"{where}: row {first + row}, counted from 0, has a number that is NaN or infinite. Remove such rows."
        )


def _labelled(
    labels: Tensor | None,
    class_names: Sequence[str],
    attribute_names: Sequence[str],
    num: int,
    training: Tensor,
    name: str,
) -> tuple[Tensor | None, Condition | None]:
    """Labels as the players receive them, and the condition that describes them. name: of the source, for messages."""
    if labels is None:
        return None, None
    if len(labels) != num:
        raise UserError(f"labels has {len(labels)} entries for {num} rows.")
    if attribute_names:
        refuse_not_finite(labels, f"The attributes of {name}")
        return attribute_condition(labels, attribute_names, training)
    given, labels = labels, labels.long()
    if labels.dim() != 1 or int(labels.min()) < 0 or not bool((labels == given).all()):
        raise UserError(
            "labels must be one whole number a row, from 0. Give attribute_names for numbers (N, attributes)."
        )
    if class_names and int(labels.max()) >= len(class_names):
        raise UserError(f"labels has the class {int(labels.max())}, and class_names names {len(class_names)} classes.")
    return labels, class_condition(labels[training], class_names or list(map(str, range(int(labels.max()) + 1))))


def _as_float32(rows: NDArray[Any]) -> Tensor:
    return torch.from_numpy(rows.astype(np.float32))


@dataclass(frozen=True, eq=False)
class MappedSource:
    """Rows of an array that stays on the disk, or of a view: only those of a batch are read.

    training, held: int64 indices of its rows. labels: of all rows of the array, see TensorSource. transform: rows as they are
    stored -> float32 data (N, ...). fingerprint: SHA-256 of the file, the labels and the split. payload: see TensorSource.
    """

    name: str
    array: NDArray[Any]
    training: Tensor
    held: Tensor
    fingerprint: str
    labels: Tensor | None = None
    condition: Condition | None = None
    notes: tuple[str, ...] = ()
    transform: Callable[[NDArray[Any]], Tensor] = _as_float32
    payload: Mapping[str, Any] = field(default_factory=dict)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def num_rows(self) -> int:
        """Training rows."""
        return len(self.training)

    @property
    def num_heldout(self) -> int:
        """Rows that are never trained on."""
        return len(self.held)

    def batch(self, indices: Tensor) -> Batch:
        """The training rows of `indices`."""
        return self._read(self.training[indices.cpu()])

    def heldout_batch(self, indices: Tensor) -> Batch:
        """The held-out rows of `indices`."""
        return self._read(self.held[indices.cpu()])

    def _read(self, rows: Tensor) -> Batch:
        data = self.transform(np.ascontiguousarray(self.array[rows.numpy()])).to(self.device)
        return Batch(data, None if self.labels is None else self.labels[rows].to(self.device))

    def to(self, device: torch.device) -> Self:
        """The same rows, with batches on another device."""
        return replace(self, device=device)


def mapped_source(
    path: Path,
    labels: Tensor | None = None,
    *,
    class_names: Sequence[str] = (),
    attribute_names: Sequence[str] = (),
    heldout: float = 0.1,
    seed: int = 0,
    notes: Sequence[str] = (),
    transform: Callable[[NDArray[Any]], Tensor] = _as_float32,
    payload: Mapping[str, Any] = MappingProxyType({}),
) -> MappedSource:
    """A source of the rows of a .npy file, which is mapped and not read as a whole (once, for its fingerprint).

    UserError for a file that is no array of numbers, and for numbers that are NaN or infinite after `transform`. The other
    arguments are those of `tensor_source` and MappedSource.
    """
    try:
        for name, header in numpy_files.read_headers(path).items():
            _refuse_other_types(header, f"{path}: {name}", NUMBERS if transform is _as_float32 else f"{NUMBERS}c")
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as an array: {error}.") from None
    if not isinstance(array, np.ndarray) or array.ndim == 0 or len(array) < 2:
        raise UserError(f"{path} holds no rows; give an array of at least two.")
    if array.dtype.kind in "fc" or transform is not _as_float32:
        for start in range(0, len(array), BATCH):
            refuse_not_finite(transform(np.array(array[start : start + BATCH])), path, start)
    training, held = heldout_split(len(array), heldout, seed)
    labels, condition = _labelled(labels, class_names, attribute_names, len(array), training, str(path))
    for rows in (training, labels):
        digest.update(b"" if rows is None else rows.numpy().tobytes())
    all_notes = (*notes, heldout_note(len(held))) if len(held) else tuple(notes)
    return MappedSource(
        path.stem, array, training, held, digest.hexdigest(), labels, condition, all_notes, transform, payload
    )


# --- evaluation


class MeasuredSource(Protocol):
    """What FeatureEvaluator needs of a source."""

    @property
    def num_rows(self) -> int: ...
    @property
    def num_heldout(self) -> int: ...
    def batch(self, indices: Tensor) -> Batch: ...
    def heldout_batch(self, indices: Tensor) -> Batch: ...


def flat(samples: Tensor) -> Tensor:
    """(N, ...) -> (N, F): the numbers of each sample as its features."""
    return samples.flatten(1)


class FeatureEvaluator:
    """Measures samples in features (N, ...) -> (N, F): their Frechet distance from real rows, and copies of training rows.

    Real rows are held-out ones where there are at least `fewest`. Else they are one half of the training rows (or `num_samples`
    of them), and the reference is measured on the other half; with fewer than four training rows there is no reference. With
    each value stand those of controls:
    noise with the mean and deviation of each number of the data, and numbers that are shuffled among the rows, must fail in the
    distance; copies of training rows must fail in the search for copies. A metric that does not separate real rows from its
    controls is marked as unable to judge.

    name: of the extractor; values are comparable where it and the number of samples are equal. num_samples: to be measured.
    """

    fewest = 64

    def __init__(
        self,
        source: MeasuredSource,
        extract: Callable[[Tensor], Tensor] = flat,
        name: str = "flat",
        *,
        seed: int = 0,
        num_samples: int = 2_000,
    ) -> None:
        self.source, self.extract, self.name, self.seed = source, extract, name, seed
        held = source.num_heldout if source.num_heldout >= self.fewest else 0
        self._held = bool(held)
        self._halved = not self._held and source.num_rows >= 2 * LEAST_MEASURED
        self.num_samples = min(num_samples, held or source.num_rows // (2 if self._halved else 1))

    def prepare(self, log: Callable[[str], None]) -> None:
        """Computes the features of real rows and the scores of the controls."""
        log(f"Computing the features ({self.name}) of real rows.")
        assert self._controls

    def evaluate(
        self, fakes: Tensor, labels: Tensor | None, judge: Callable[[Tensor, Tensor | None], Tensor] | None
    ) -> list[Record]:
        """Records of (N, ...) fakes: "frechet" and, where rows are held out, "copy_rate"."""
        found = self._features(fakes)
        tag = f"[{self.name},n={len(fakes)}]"
        protocol = self._protocol(len(fakes))
        records = [self._distance(found, tag, protocol)]
        if self._held and stage("copies of training rows"):
            records.append(self._copies(found, tag, protocol))
        return records

    def quick(self, fakes: Tensor) -> QuickMetrics:
        """Mean distance between fakes, as a share of that between real rows."""
        reals = self._real[: len(fakes)]
        return QuickMetrics(diversity=diversity(self._features(fakes)) / max(diversity(reals), 1e-12))

    # --- the two measures

    def _distance(self, found: Tensor, tag: str, protocol: Mapping[str, Any]) -> Record:
        real, controls = self._real, self._controls["frechet"]
        record = Record(
            f"frechet{tag}",
            frechet_distance(real, found),
            {**protocol, "controls": {name: value for name, value in controls.items() if name != "real"}},
            "lower",
            "Distance between the normal distributions fitted to features of real and generated samples.",
            controls["real"] if self._held or self._halved else None,
        )
        if not self._held and not self._halved:
            return record.mark_unreliable(f"{self.source.num_rows} training rows are too few for a reference.")
        return record.mark_unreliable(unclear(controls, "lower", "real rows"))

    def _copies(self, found: Tensor, tag: str, protocol: Mapping[str, Any]) -> Record:
        rate, controls = memorisation(found, self._train, None, self._unseen).copy_rate, self._controls["copies"]
        record = Record(
            f"copy_rate{tag}",
            rate,
            {**protocol, "controls": {"copies of training rows": controls["copies of training rows"]}},
            "near 0.01",
            "Share of samples that lie as near to a training row as only 1 in 100 held-out rows does.",
            controls["real"],
        )
        return record.mark_unreliable(unclear(controls, "lower", "held-out rows"))

    def _protocol(self, num_fake: int) -> dict[str, Any]:
        return {
            "extractor": self.name,
            "num_real": len(self._real),
            "num_fake": num_fake,
            "split": "held out" if self._held else "training",
            **({"reference": "the other half of the training rows"} if self._halved else {}),
            "seed": self.seed,
            "torch": torch.__version__,
        }

    # --- real rows and controls, computed once

    def _features(self, samples: Tensor) -> Tensor:
        with torch.no_grad():
            parts = [self.extract(part.detach().float()).cpu() for part in torch.split(samples, BATCH)]
        return torch.cat(parts).flatten(1)

    def _rows(self, held: bool, purpose: str) -> Tensor:
        """At most num_samples real rows, on the CPU. Without held-out rows those of "real" and "controls" are disjoint halves."""
        num = self.source.num_heldout if held else self.source.num_rows
        drawn = "real" if self._halved else purpose
        order = torch.randperm(num, generator=generator(self.seed, "evaluate", drawn))
        start = self.num_samples if self._halved and purpose == "controls" else 0
        rows = order[start : start + self.num_samples]
        batch = self.source.heldout_batch(rows) if held else self.source.batch(rows)
        return batch.data.detach().cpu()

    @functools.cached_property
    def _real(self) -> Tensor:
        return self._features(self._rows(self._held, "real"))

    @functools.cached_property
    def _train(self) -> Tensor:
        """Features of the training rows that are searched for copies."""
        rows = sample_rows(self.source.num_rows, 10 * self.num_samples, self.seed)
        return self._features(self.source.batch(rows).data)

    @functools.cached_property
    def _unseen(self) -> Tensor:
        """Distances of held-out rows to the nearest training row."""
        return unseen_distances(self._train, self._real)

    @functools.cached_property
    def _controls(self) -> Mapping[str, Mapping[str, float]]:
        """Metric -> the score of real rows, then that of each control."""
        rows, draw = self._rows(held=False, purpose="controls"), generator(self.seed, "evaluate", "failing")
        flat_rows = rows.flatten(1)
        noise = flat_rows.mean(0) + flat_rows.std(0) * torch.randn(flat_rows.shape, generator=draw)
        order = torch.rand(flat_rows.shape, generator=draw).argsort(0)
        failing = {"noise": noise, "shuffled numbers": flat_rows.gather(0, order)}
        distances = {"real": frechet_distance(self._real, self._features(rows))}
        distances |= {
            name: frechet_distance(self._real, self._features(made.view_as(rows))) for name, made in failing.items()
        }
        if not self._held:
            return {"frechet": distances}
        copies = self._train[: len(rows)]
        rates = {
            name: memorisation(some, self._train, None, self._unseen).copy_rate
            for name, some in (("real", self._real), ("copies of training rows", copies))
        }
        return {"frechet": distances, "copies": rates}


# --- files


def write_numbers(samples: Tensor, path: Path, info: DatasetInfo, options: WriteOptions = WriteOptions()) -> list[Path]:
    """Samples (N, ...) as an array in a .npy file, or in a .csv file with one sample a line; UserError for another ending."""
    rows = samples.detach().cpu().float().numpy()
    ending = path.suffix.lower()
    if ending == ".npy":
        with path.open("wb") as file:
            np.save(file, rows, allow_pickle=False)
    elif ending == ".csv":
        np.savetxt(path, rows.reshape(len(rows), -1), delimiter=",", fmt="%.9g")
    else:
        raise UserError(f"{path}: cannot write {ending or 'a folder'}. Use {' or '.join(ENDINGS)}.")
    return [path]


def read_numbers(paths: Sequence[Path], info: DatasetInfo) -> Tensor:
    """(N, ...) float32 samples of .npy, .npz or .csv files, as `write_numbers` writes them.

    An array has the shape (N, ...) of samples, that of one sample, or (N, F) with all numbers of a sample in a row, as the lines
    of a .csv. UserError names a file with rows of another size, or with numbers that are NaN or infinite.
    """
    return torch.cat([_read(path, info.sample.shape) for path in paths])


def _read(path: Path, shape: tuple[int, ...]) -> Tensor:
    if path.suffix.lower() in numpy_files.SUFFIXES:
        rows = _arrays(path)[0]
    else:
        try:
            rows = np.loadtxt(path, delimiter=",", ndmin=2)
        except (OSError, ValueError) as error:
            raise UserError(f"{path} does not hold samples of shape {shape}: {error}.") from None
    size = math.prod(shape)
    if not rows.size or not (rows.shape[1:] == shape or rows.shape == shape or rows.shape[1:] == (size,)):
        found = f"an array of shape {rows.shape}"
        if path.suffix.lower() not in numpy_files.SUFFIXES:
            found = f"{rows.shape[0]} lines of {rows.shape[1]} numbers"
        raise UserError(
            f"{path} does not hold samples of shape {shape}: it has {found}. Each sample needs {size} numbers."
        )
    samples = _as_float32(rows).reshape(-1, *shape)
    refuse_not_finite(samples, path)
    return samples


def holds_arrays(where: str, row: Sequence[int | None] = ()) -> bool:
    """Whether a path is a .npy or .npz file that `read_arrays` can read, with rows of this shape; never raises.

    row: the shape of one row, None for an axis of any length; (): any row.
    """
    path = expand_path(where)
    if path.suffix.lower() not in numpy_files.SUFFIXES or not is_regular(path):
        return False
    try:
        headers = numpy_files.read_headers(path)
    except (OSError, UserError):
        return False
    header = headers.get(ROWS) if path.suffix.lower() == ".npz" else next(iter(headers.values()))
    if header is None or header.dtype.kind not in NUMBERS or len(header.shape) < 2:
        return False
    found = header.shape[1:]
    return not row or (
        len(found) == len(row) and all(want in (None, have) for want, have in zip(row, found, strict=True))
    )


def read_arrays(path: Path) -> tuple[Tensor, Tensor | None, tuple[str, ...]]:
    """(rows (N, ...) float32, labels (N,) int64 or None, names of the classes) of a .npy file, or of an .npz file.

    An .npz holds the rows as the array "x" and the class of each row as "labels" (N,), whole numbers or texts, as
    `zs.train((x, labels))` writes them; without "labels" there are no classes. The classes are the distinct labels in order.
    UserError names what is wrong with the file.
    """
    rows, labels = _arrays(path)
    if rows.ndim < 2 or not rows.size:
        raise UserError(f"{path} holds an array of shape {rows.shape}; expected (N, ...), one row for each sample.")
    if labels is None:
        return _as_float32(rows), None, ()
    if labels.shape not in ((len(rows),), (len(rows), 1)) or labels.dtype.kind not in "biuU":
        raise UserError(
            f"{path}[{LABELS}] has shape {labels.shape} and type {labels.dtype} for {len(rows):,} rows; expected "
            f"({len(rows)},) whole numbers or texts, one class for each row."
        )
    values, classes = np.unique(labels.reshape(-1), return_inverse=True)
    return _as_float32(rows), torch.from_numpy(classes.reshape(-1).astype(np.int64)), tuple(map(str, values.tolist()))


def _arrays(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The array of rows of a .npy or .npz file, and its labels where there are some."""
    try:
        with numpy_files.open_arrays(path) as found:
            archive = path.suffix.lower() == ".npz"
            name = ROWS if archive else path.stem
            if name not in found:
                raise UserError(
                    f"{path} has no array {ROWS!r}; it has {', '.join(found) or 'none'}. Save the rows as {ROWS!r} and, where "
                    f"there are classes, {LABELS!r}: np.savez(path, {ROWS}=rows, {LABELS}=classes)."
                )
            _refuse_other_types(found[name], found.place(name), NUMBERS)
            return found.read(name), found.read(LABELS) if archive and LABELS in found else None
    except OSError as error:
        raise UserError(f"{path} cannot be read as an array: {error}.") from None


def _refuse_other_types(header: numpy_files.Header, where: str, kinds: str) -> None:
    """UserError for an array of Python objects, and for one of texts, dates or other values that are no numbers."""
    numpy_files.refuse_objects(header, where)
    if header.dtype.kind not in kinds:
        raise UserError(f"{where} holds values of type {header.dtype}; expected numbers.")
