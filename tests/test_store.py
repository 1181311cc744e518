"""Checkpoints: round trips, damage of every kind, a full disk, and files that are code."""

from __future__ import annotations

import errno
import json
import math
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from zerosum import store as states
from zerosum.errors import Damaged, UserError
from zerosum.store import latest_checkpoint, read_checkpoint, save_checkpoint


def nested() -> dict[str, Any]:
    """A state with everything in it that a run's state has."""
    return {
        "step": 7,
        "optimizer": {"state": {0: {"step": torch.tensor(7.0), "buffer": None}, 1: {}}, "betas": (0.0, 0.99)},
        "list": [1, "two", True, None, [torch.arange(3)]],
        "half": torch.tensor([1.5, -2.0, math.inf], dtype=torch.bfloat16),
        "cut": torch.arange(12.0).view(3, 4).t()[1:],
        "empty": torch.zeros(0, 4),
        "number": 0.1 + 0.2,
        "names": {
            "$tensor": "a word",
            "a/b": torch.ones(1),
            "a": {"b": torch.zeros(1)},
            1: torch.ones(2),
            "1": torch.zeros(2),
        },
    }


def folder_with(tmp_path: Path, *steps: int, keep: int = 2) -> Path:
    for step in steps:
        save_checkpoint(tmp_path, step, {"step": step, "w": torch.full((3,), float(step))}, keep=keep)
    return tmp_path


# --- round trips


def test_split_and_join_are_inverse() -> None:
    tensors, plain = states.split(nested())
    assert len(tensors) == 9  # none of them lost to another of the same path
    back = states.join(tensors, json.loads(json.dumps(plain)))
    _assert_same(back, nested())


def test_save_and_read(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "deep" / "er", 12, nested())
    assert path.name == "step-00000012"
    _assert_same(read_checkpoint(path), nested())
    manifest = json.loads((path / "manifest.json").read_text())
    assert {name: facts["bytes"] for name, facts in manifest["files"].items()} == {
        name: (path / name).stat().st_size for name in ("tensors.safetensors", "state.json")
    }
    assert sorted(item.name for item in path.parent.iterdir()) == ["step-00000012"]
    _assert_same(latest_checkpoint(path.parent), nested())


def _assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            _assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            _assert_same(left, right)
    elif isinstance(one, Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    else:
        assert one == other


@pytest.mark.parametrize("foreign", [{1, 2}, object(), b"bytes", torch.float32])
def test_foreign_values_are_refused(foreign: Any) -> None:
    with pytest.raises(TypeError, match="state at /deep/0 is neither a tensor nor a plain value"):
        states.split({"deep": [foreign]})


def test_newest_two_are_kept(tmp_path: Path) -> None:
    folder_with(tmp_path, 1, 9, 10, 100_000_000, 99_999_999)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-100000000", "step-99999999"]
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found["step"] == 100_000_000


def test_a_step_saved_again_replaces_the_first(tmp_path: Path) -> None:
    folder_with(tmp_path, 5)
    save_checkpoint(tmp_path, 5, {"step": 5, "again": True})
    assert read_checkpoint(tmp_path / "step-00000005") == {"step": 5, "again": True}
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000005"]


def test_left_overs_of_a_killed_process_are_cleared(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "missing") is None
    left = tmp_path / ".step-00000003.4711.part"
    left.mkdir()
    (left / "tensors.safetensors").write_bytes(b"half")
    assert latest_checkpoint(tmp_path) is None
    folder_with(tmp_path, 5)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000005"]


# --- damage


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [_truncate, _flip, _empty, Path.unlink])
@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "manifest.json"])
def test_a_damaged_newest_falls_back_loudly(tmp_path: Path, damage: Any, name: str) -> None:
    folder_with(tmp_path, 1, 2)
    damage(tmp_path / "step-00000002" / name)
    with pytest.warns(UserWarning, match=r"falling back to the one before: .*step-00000002"):
        found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found["step"] == 1


def test_any_flipped_byte_of_a_manifest_falls_back_or_does_no_harm(tmp_path: Path) -> None:
    folder_with(tmp_path, 1, 2)
    path = tmp_path / "step-00000002" / "manifest.json"
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bit in (1, 2, 128):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = latest_checkpoint(tmp_path)
            assert found is not None
            assert torch.equal(found["w"], torch.full((3,), float(found["step"])))


def test_all_damaged_is_an_error_with_the_reason(tmp_path: Path) -> None:
    folder_with(tmp_path, 1, 2)
    for step in (1, 2):
        _truncate(tmp_path / f"step-0000000{step}" / "tensors.safetensors")
    with (
        pytest.warns(UserWarning, match="damaged"),
        pytest.raises(UserError, match=r"None of the 2 .* bytes instead of"),
    ):
        latest_checkpoint(tmp_path)


def test_another_format_is_named(tmp_path: Path) -> None:
    folder_with(tmp_path, 1)
    path = tmp_path / "step-00000001" / "manifest.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 99'))
    with (
        pytest.warns(UserWarning, match="format 99"),
        pytest.raises(UserError, match="format 99; this version reads format 1"),
    ):
        latest_checkpoint(tmp_path)


class _Payload:
    """Pickled, it makes a file when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.marker),))


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_code_in_a_safetensors_file_is_refused_and_not_run(tmp_path: Path, kind: str) -> None:
    marker, path = tmp_path / "run", tmp_path / "generator.safetensors"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(_Payload(marker)))
    else:
        torch.save(_Payload(marker), path)
    with pytest.raises(Damaged, match=r"generator.safetensors is not a safetensors file .* Pickles are never loaded"):
        states.decode(path.read_bytes(), path)
    assert not marker.exists()
    if kind == "pickle":
        pickle.loads(path.read_bytes())  # the payload is a real one
        assert marker.exists()


# --- disks


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_full_disk_leaves_the_older_checkpoint_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    folder_with(tmp_path, 1)
    left = [writes]

    def full(handle: int) -> None:
        if left[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= 1

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        folder_with(tmp_path, 2)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found["step"] == 1


def test_a_failed_rename_puts_the_former_checkpoint_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saving a step again moves the first one away; where the new one cannot take its place it comes back."""
    folder_with(tmp_path, 1)
    replace = os.replace

    def broken(source: Any, target: Any) -> None:
        if ".part" in Path(source).name and Path(target).name == "step-00000001" and "former" not in Path(source).name:
            raise OSError(errno.EIO, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="Input/output"):
        save_checkpoint(tmp_path, 1, {"step": 1, "again": True})
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    assert "again" not in read_checkpoint(tmp_path / "step-00000001")


def test_a_durable_file_is_the_old_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    states.write_durably(path, b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        states.write_durably(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    states.write_durably(path, b"new")
    assert path.read_bytes() == b"new"
    assert [item.name for item in tmp_path.iterdir()] == ["run.json"]


def test_a_read_only_folder_is_an_error_and_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_with(tmp_path, 1)
    mkdir = os.mkdir

    def refused(path: Any, *rest: Any, **named: Any) -> None:  # file modes do not hold a superuser back
        if ".part" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        mkdir(path, *rest, **named)

    monkeypatch.setattr(os, "mkdir", refused)
    with pytest.raises(OSError, match="Permission denied"):
        folder_with(tmp_path, 2)
    monkeypatch.undo()
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found["step"] == 1


# --- fingerprints


def test_fingerprint_sees_names_types_shapes_and_bits() -> None:
    base = {"a": torch.arange(4.0), "b": torch.zeros(2, dtype=torch.bfloat16), "n": torch.tensor(3)}
    same_again = {name: base[name].clone() for name in reversed(base)}
    assert states.fingerprint(base) == states.fingerprint(same_again)
    others = [
        base | {"a": torch.arange(4.0).view(2, 2)},
        base | {"a": torch.tensor([0.0, 1, 2, 3.0000002])},
        base | {"b": torch.zeros(2, dtype=torch.float16)},
        {"c" if name == "a" else name: tensor for name, tensor in base.items()},
    ]
    assert len({states.fingerprint(other) for other in [base, *others]}) == 5
