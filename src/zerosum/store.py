"""Files that are written whole or not at all: checkpoints, and the files of samples with their names.

A checkpoint has safetensors for tensors, JSON for plain values, and a manifest with sizes and SHA-256. Loading runs no code.

A checkpoint is a folder ``step-00001000`` that appears by one rename, after all of its files were flushed to disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from zerosum.errors import Damaged, UserError
from zerosum.jsonfile import parse_json, read_bytes, read_json

FORMAT = 1
FORMER = ".former.part"
TENSORS, PLAIN, MANIFEST = "tensors.safetensors", "state.json", "manifest.json"


# --- a nested state as tensors and plain values


def split(state: Any) -> tuple[dict[str, Tensor], Any]:
    """Takes the tensors out of nested dicts and lists, leaving {"$tensor": name} in their places."""
    tensors: dict[str, Tensor] = {}

    def walk(item: Any, path: str) -> Any:
        if isinstance(item, Tensor):
            while path in tensors:  # {1: x, "1": y} and {"a/b": x, "a": {"b": y}} have paths in common
                path += "+"
            tensors[path] = item.detach()
            return {"$tensor": path}
        if isinstance(item, Mapping):
            # Optimizers use integer keys; JSON would make them strings.
            return {"$dict": [[key, walk(value, f"{path}/{key}")] for key, value in item.items()]}
        if isinstance(item, list | tuple):
            parts = [walk(value, f"{path}/{index}") for index, value in enumerate(item)]
            return parts if isinstance(item, list) else {"$tuple": parts}
        if item is None or isinstance(item, bool | int | float | str):
            return item
        raise TypeError(f"state at {path or 'top'} is neither a tensor nor a plain value: {type(item).__name__}")

    return tensors, walk(state, "")


def join(tensors: Mapping[str, Tensor], plain: Any) -> Any:
    """The inverse of split."""
    if isinstance(plain, list):
        return [join(tensors, item) for item in plain]
    if isinstance(plain, dict):
        if "$tensor" in plain:
            return tensors[plain["$tensor"]]
        if "$tuple" in plain:
            return tuple(join(tensors, item) for item in plain["$tuple"])
        return {key: join(tensors, item) for key, item in plain["$dict"]}
    return plain


# --- files


def encode(tensors: Mapping[str, Tensor]) -> bytes:
    """safetensors bytes; tensors are copied to contiguous CPU memory first."""
    return save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()})


def decode(content: bytes, where: Path) -> dict[str, Tensor]:
    """The tensors of safetensors bytes; anything else (a pickle, say) is refused without being run."""
    try:
        return load(content)
    except Exception as error:
        raise Damaged(
            f"{where} is not a safetensors file ({error}). Pickles are never loaded: they can run code."
        ) from error


def write_durably(path: Path, content: bytes) -> None:
    """Writes a temporary file, flushes it to disk and renames it: the file has either the old or the new content."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


@contextlib.contextmanager
def writing(target: Path) -> Iterator[Path]:
    """A path of the same name in a temporary folder next to the target, or inside it where the target is an existing folder. What
    was written there, a file, several or a folder, is moved when all is written; before that nothing has the final name. An
    OSError becomes a UserError that names the target."""
    room = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        within = target if target.is_dir() else target.parent  # a folder may be a file system of its own
        room = Path(tempfile.mkdtemp(prefix=".zerosum-", suffix=".part", dir=within))
        yield room / target.name
        for path in sorted(room.rglob("*")):
            place = target.parent / path.relative_to(room)
            if path.is_dir():
                place.mkdir(exist_ok=True)
            else:
                os.replace(path, place)
    except OSError as error:
        raise UserError(f"Cannot write {target}: {error.strerror or error}. Choose another place with --out.") from None
    except UserError as error:
        raise UserError(str(error).replace(str(room), str(target.parent))) from None
    finally:
        if room is not None:
            shutil.rmtree(room, ignore_errors=True)


def flush_folder(folder: Path) -> None:
    """Makes renames inside the folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def save_checkpoint(
    folder: Path, step: int, state: Mapping[str, Any], keep: int = 2, spare: Collection[int] = ()
) -> Path:
    """Writes `state` as folder/step-<step> in one rename and keeps the newest `keep`, and those of the steps in `spare`.

    OSError (a full disk, say) leaves the older ones as they were.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = step_name(step)
    target, aside, former = folder / name, folder / f".{name}.{os.getpid()}.part", folder / f".{name}{FORMER}"
    tensors, plain = split(state)
    files = {TENSORS: encode(tensors), PLAIN: json.dumps(plain).encode()}
    manifest = {
        "format": FORMAT,
        "step": step,
        "files": {
            name: {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()} for name, body in files.items()
        },
    }
    try:
        restore_moved_checkpoints(folder)
        for left_over in folder.glob(".step-*.part"):  # by a process that was killed while it saved
            shutil.rmtree(left_over, ignore_errors=True)
        aside.mkdir()
        for name, body in {**files, MANIFEST: json.dumps(manifest, indent=1).encode()}.items():
            write_durably(aside / name, body)
        if target.exists():  # renamed as a whole, so that a kill leaves no half-deleted checkpoint
            os.replace(target, former)
        os.replace(aside, target)
        flush_folder(folder)
        shutil.rmtree(former, ignore_errors=True)
    except OSError:
        if former.exists() and not target.exists():
            os.replace(former, target)
        shutil.rmtree(aside, ignore_errors=True)
        raise
    for older in list(reversed(checkpoints(folder)))[keep:]:
        if older not in spare:
            shutil.rmtree(folder / step_name(older), ignore_errors=True)
    return target


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state in a checkpoint folder, verified against its manifest; Damaged says what is wrong."""
    try:
        manifest = read_json(path / MANIFEST)
        if manifest["format"] != FORMAT:
            raise Damaged(f"{path} has checkpoint format {manifest['format']!r}; this version reads format {FORMAT}")
        bodies = {name: _read_verified(path / name, manifest["files"][name]) for name in (TENSORS, PLAIN)}
        state = join(decode(bodies[TENSORS], path / TENSORS), parse_json(bodies[PLAIN], path / PLAIN))
    except Damaged:
        raise
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise Damaged(f"{path} is incomplete: {error}") from error
    if not isinstance(state, dict):
        raise Damaged(f"{path / PLAIN} holds no state")
    return state


def _read_verified(path: Path, facts: Mapping[str, Any]) -> bytes:
    wanted = int(facts["bytes"])
    if (found := path.stat().st_size) != wanted:
        raise Damaged(f"{path} has {found:,} bytes instead of {wanted:,}")
    body = read_bytes(path, wanted)
    if hashlib.sha256(body).hexdigest() != facts["sha256"]:
        raise Damaged(f"{path} does not match its SHA-256")
    return body


def latest_checkpoint(folder: Path, suits: Callable[[int], bool] = lambda step: True) -> dict[str, Any] | None:
    """The newest complete checkpoint whose step `suits`; damaged ones are skipped with a warning. None when there is none."""
    known = dict(sorted({**_moved_checkpoints(folder), **checkpoints(folder)}.items()))
    found, reasons = [known[step] for step in reversed(known) if suits(step)], []
    for path in found:
        try:
            return read_checkpoint(path)
        except Damaged as error:
            reasons.append(str(error))
            warnings.warn(f"damaged checkpoint passed over, falling back to the one before: {error}", stacklevel=2)
    if found:
        raise UserError(
            f"None of the {len(found)} checkpoints in {folder} can be read ({reasons[0]}); start anew with `zerosum train`."
        )
    return None


def step_name(step: int, ending: str = "") -> str:
    """The file name of a step: step-00001000, or with an ending step-00001000.png."""
    return f"step-{step:08d}{ending}"


def steps_in(folder: Path, ending: str = "") -> dict[int, Path]:
    """The paths in a folder with exactly such a name, by rising step; other files, such as copies and backups, are ignored. Empty
    for a missing folder."""
    return dict(step_files(folder, ending))


def step_files(folder: Path, ending: str | None = None) -> list[tuple[int, Path]]:
    """The same as (step, path), by rising step and then by path. ending: None for any, so that there may be several files of one
    step, such as a picture and its sound."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        own = path.suffix if ending is None else ending
        digits = path.name.removeprefix("step-").removesuffix(own)
        if digits.isdecimal() and digits.isascii() and path.name == step_name(int(digits), own):
            found.append((int(digits), path))
    return sorted(found)


def checkpoints(folder: Path) -> dict[int, Path]:
    """The checkpoint folders by rising step."""
    return {step: path for step, path in steps_in(folder).items() if path.is_dir()}


def _moved_checkpoints(folder: Path) -> dict[int, Path]:
    """Checkpoints that were renamed before their replacement was complete, because the process was killed in between."""
    names = {path: path.name.removeprefix(".").removesuffix(FORMER) for path in folder.glob(f".step-*{FORMER}")}
    return {
        int(name[5:]): path for path, name in names.items() if name[5:].isdecimal() and not (folder / name).exists()
    }


def restore_moved_checkpoints(folder: Path) -> None:
    """Gives such checkpoints their names again; only for the process that holds the lock of the folder."""
    for step, path in _moved_checkpoints(folder).items():
        os.replace(path, folder / step_name(step))


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes, in order of names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


# --- names of files that samples are written to: a number, and the class where there is one

MOST_NAME_BYTES = 120
"""Of a class in a file's name, in UTF-8; file systems allow 255 for the whole name."""
KEPT_CATEGORIES = ("L", "M", "N")
"""Unicode categories whose characters stay: letters, their marks, digits."""


def numbered_names(num: int, ending: str, names: Sequence[str] = (), begin: str = "") -> list[str]:
    """`num` names: "00000.png", or "00000-cat.png" with the name of each sample's class, as `class_file_names` gives it."""
    words = [f"-{name}" for name in names] or [""] * num
    return [f"{begin}{index:05d}{word}{ending}" for index, word in zip(range(num), words, strict=True)]


def class_file_names(classes: Sequence[object]) -> list[str]:
    """A name for each class that every file system accepts and that is unique, also without regard to letter case.

    Letters and digits of any script stay, other characters become "_"; a name is cut at MOST_NAME_BYTES. Names that are empty or
    alike by then get the number of the class.
    """
    words = [_name_of(str(name)) for name in classes]
    alike = Counter(word.casefold() for word in words)
    found = [
        word if word and alike[word.casefold()] == 1 else f"{word}-{index}".strip("-")
        for index, word in enumerate(words)
    ]
    if len({word.casefold() for word in found}) < len(found):  # such a number is a class's own name already
        return [f"{index}-{word}".strip("-") for index, word in enumerate(words)]
    return found


def _name_of(name: str) -> str:
    text = unicodedata.normalize("NFC", name)
    text = "".join(sign if sign in "-_" or unicodedata.category(sign)[0] in KEPT_CATEGORIES else "_" for sign in text)
    return text.encode()[:MOST_NAME_BYTES].decode(errors="ignore").strip("-_")
