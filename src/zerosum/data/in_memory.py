"""Writes data in memory once as plain files that the readers can open, so that a run can be resumed and evaluated later.

Arrays become .npy, arrays with labels .npz, points of one or two columns .csv, pictures PNG files in one folder for each class,
data frames .parquet or .csv. Nothing is pickled.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zerosum.errors import UserError

Array = npt.NDArray[Any]
POSSIBLE = (
    "a name of `zs.sources()`, a path, a numpy array or a tensor with one row per sample, a pair (data, labels), a list of PIL "
    "images, a pandas DataFrame, a torch Dataset or DataLoader"
)
POINT_COLUMNS = 2
"""Arrays (N, D) with at most this many columns are written as tables of points."""
MAX_ROWS = 10_000_000
"""Largest number of rows read from a dataset; a longer or endless one is an error."""


@dataclass(frozen=True)
class InMemory:
    """Rows in memory and, where there are any, their labels.

    name: for the run folder. rows: an array (N, ...), a list of PIL images, or a DataFrame. class_names: of the labels 0..K-1.
    """

    name: str
    rows: Any
    labels: Array | None = None
    class_names: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """A description of the data, for messages."""
        if isinstance(self.rows, np.ndarray):
            labels = "" if self.labels is None else " with labels"
            return f"an array of shape {self.rows.shape} and type {self.rows.dtype}{labels}"
        return f"{len(self.rows):,} rows of {type(self.rows).__name__}"

    def write(self, folder: Path, as_table: bool = False) -> Path:
        """Writes the rows into a new folder and returns the path that the readers open. as_table: an array (N, D) as columns."""
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(self.rows, list):
            return self._pictures(folder / self.name)
        if not isinstance(self.rows, np.ndarray):
            return self._frame(folder)
        if self.rows.ndim == 2 and (as_table or self.rows.shape[1] <= POINT_COLUMNS):
            return self._columns(folder / f"{self.name}.csv", as_table)
        if self.labels is None:
            path = folder / f"{self.name}.npy"
            np.save(path, self.rows, allow_pickle=False)
            return path
        path = folder / f"{self.name}.npz"
        np.savez(path, x=self.rows, labels=self._named_labels())
        return path

    def _named_labels(self) -> Array:
        """The labels; as class names if there are any."""
        assert self.labels is not None
        return np.array(self.class_names)[self.labels] if self.class_names else self.labels

    def _columns(self, path: Path, as_table: bool) -> Path:
        header = [f"x{number}" for number in range(self.rows.shape[1])]
        columns: list[Any] = list(self.rows.T)
        if self.labels is not None:
            if not as_table:
                raise UserError(
                    f"data: labels are not used with points of {self.rows.shape[1]} columns. Give the points alone, or "
                    "domain='tables' for a table with the labels as a column."
                )
            header, columns = [*header, "label"], [*columns, self._named_labels()]
        lines = (",".join(str(value) for value in row) for row in zip(*columns, strict=True))
        path.write_text("\n".join([",".join(header), *lines]) + "\n", encoding="utf-8")
        return path

    def _frame(self, folder: Path) -> Path:
        try:
            path = folder / f"{self.name}.parquet"
            self.rows.to_parquet(path, index=False)
        except ImportError:  # neither pyarrow nor fastparquet is installed
            path = folder / f"{self.name}.csv"
            self.rows.to_csv(path, index=False)
        return path

    def _pictures(self, folder: Path) -> Path:
        digits = len(str(len(self.rows)))
        for number, picture in enumerate(self.rows):
            place = folder
            if self.labels is not None:
                label = self.labels[number]
                place = folder / (_file_name(self.class_names[label]) if self.class_names else str(label))
            place.mkdir(parents=True, exist_ok=True)
            convertible = (
                picture if picture.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else picture.convert("RGB")
            )
            convertible.save(place / f"{number:0{digits}}.png")
        return folder


def read(data: Any) -> InMemory:
    """Reads the `data` of `zs.train` if they are neither a name nor a path. UserError names the type given and what is
    possible."""
    torch_data = sys.modules.get("torch.utils.data")
    if torch_data is not None and isinstance(data, torch_data.DataLoader):
        return _from_loader(data)
    if hasattr(data, "to_parquet") and hasattr(data, "columns"):
        return InMemory("table", data)
    if isinstance(data, tuple) and len(data) == 2 and not _is_picture(data[1]):
        rows, labels = _rows(data[0]), _array(data[1])
        return InMemory("array" if isinstance(rows, np.ndarray) else "pictures", rows, _check_labels(labels, len(rows)))
    if _is_dataset(data):
        return _from_items(_iterate_items(data), type(data).__name__.lower(), _class_names(data))
    rows = _rows(data)
    return InMemory("array" if isinstance(rows, np.ndarray) else "pictures", rows)


# --- arrays and lists


def _rows(data: Any) -> Array | list[Any]:
    if isinstance(data, list | tuple) and data and all(map(_is_picture, data)):
        return list(data)
    try:
        rows = _array(data)
    except ValueError:  # rows of different shapes
        rows = np.empty(0, dtype=object)
    if rows.ndim < 2 or rows.dtype.kind not in "buif":
        shape = f" of shape {rows.shape} and type {rows.dtype}" if hasattr(data, "shape") else _contents(data)
        raise UserError(f"data: got {type(data).__name__}{shape}. Possible are {POSSIBLE}.")
    return rows


def _array(data: Any) -> Array:
    """A numpy array of an array, a tensor on any device, or a list of numbers, arrays or tensors."""
    if isinstance(data, list | tuple) and data and hasattr(data[0], "detach"):
        return np.stack([_array(item) for item in data])
    if hasattr(data, "detach"):
        tensor = data.detach().cpu()
        return np.asarray(tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor)
    return np.asarray(data)


def _check_labels(labels: Array, num: int) -> Array:
    if labels.shape not in ((num,), (num, 1)) or labels.dtype.kind not in "biuU":
        raise UserError(
            f"data: labels of shape {labels.shape} and type {labels.dtype} for {num:,} rows; expected ({num},) whole numbers or "
            "texts, one class for each row."
        )
    return labels.reshape(-1)


def _contents(data: Any) -> str:
    """A short description of what a list or a mapping holds."""
    if isinstance(data, dict):
        return f" with the keys {', '.join(map(str, list(data)[:5])) or '(none)'}"
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        kinds = sorted({type(item).__name__ for item in data[:100]})
        return f" of {len(data):,} x {' and '.join(kinds) or 'nothing'}"
    return ""


def _is_picture(item: Any) -> bool:
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(item, pillow.Image)


# --- datasets and loaders


def _is_dataset(data: Any) -> bool:
    torch_data = sys.modules.get("torch.utils.data")
    return torch_data is not None and isinstance(data, torch_data.Dataset)


def _class_names(data: Any) -> tuple[str, ...]:
    """The class names in the attribute `classes`, as in torchvision's datasets."""
    names = getattr(data, "classes", ())
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()


def _iterate_items(data: Any) -> Iterator[Any]:
    """The items of a map-style dataset in order, or of an iterable one."""
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return (data[index] for index in range(len(data)))
    return iter(data)


def _from_loader(loader: Any) -> InMemory:
    """The items of the loader's dataset in order; with a custom collate_fn, the rows of its batches."""
    from torch.utils.data import default_collate

    name, class_names = type(loader.dataset).__name__.lower(), _class_names(loader.dataset)
    if loader.collate_fn is default_collate and _is_dataset(loader.dataset):
        return _from_items(_iterate_items(loader.dataset), name, class_names)
    return _from_items((item for batch in loader for item in _split_batch(batch)), name, class_names)


def _split_batch(batch: Any) -> Iterator[Any]:
    """The rows of a batch x or (x, y)."""
    if isinstance(batch, list | tuple) and len(batch) == 2:
        return zip(*batch, strict=True)
    return iter(batch)


def _from_items(items: Iterator[Any], name: str, class_names: tuple[str, ...]) -> InMemory:
    rows, labels = list[Any](), list[Any]()
    for item in items:
        if len(rows) == MAX_ROWS:
            raise UserError(
                f"data: the dataset has more than {MAX_ROWS:,} rows; write it to files and give their path."
            )
        row, *label = item if isinstance(item, list | tuple) else (item,)
        if len(label) > 1:
            raise UserError(
                f"data: the dataset {name} gives {len(label) + 1} values for each row; expected x or (x, class label)."
            )
        rows.append(row)
        labels += [_label(item, name) for item in label]
    if not rows:
        raise UserError(f"data: the dataset {name} has no rows.")
    if labels and len(labels) != len(rows):
        raise UserError(
            f"data: {len(labels):,} of {len(rows):,} rows of the dataset have a label; give all or none of them one."
        )
    found = _check_labels(np.asarray(labels), len(rows)) if labels else None
    if not all(map(_is_picture, rows)):
        rows = _stack_rows(rows, name)
    if found is not None and (found.dtype.kind not in "iu" or int(found.max(initial=0)) >= len(class_names)):
        class_names = ()
    return InMemory(_file_name(name) or "dataset", rows, found, class_names if found is not None else ())


def _label(label: Any, name: str) -> Any:
    """A whole number or a text."""
    value = _array(label)
    if value.size != 1:
        raise UserError(
            f"data: a label of the dataset {name} has shape {value.shape}; expected one class for each row. Attributes are read "
            "from an attributes.csv in a folder of images."
        )
    return value.item()


def _stack_rows(rows: list[Any], name: str) -> Any:
    first = rows[0]
    if not (hasattr(first, "detach") or isinstance(first, np.ndarray | int | float)):
        raise UserError(
            f"data: rows of the dataset {name} are of type {type(first).__name__}; expected tensors, arrays or PIL images, or "
            f"pairs of one of these and a label. Possible are {POSSIBLE}."
        )
    try:
        stacked = np.stack([_array(row) for row in rows])
    except ValueError:
        shapes = sorted({tuple(_array(row).shape) for row in rows[:100]})
        raise UserError(
            f"data: rows of the dataset {name} have different shapes, {' and '.join(map(str, shapes[:3]))}. Resize them in its "
            "transform, or return PIL images from it."
        ) from None
    return stacked if stacked.ndim > 1 else stacked[:, None]


def _file_name(text: str) -> str:
    """The text as a valid name of a file or folder."""
    return re.sub(r"[^\w.-]+", "_", text).strip("._")
