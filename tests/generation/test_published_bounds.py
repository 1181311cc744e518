"""A published folder from a stranger: it asks for no more memory than its weights take, and for no discriminator."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from published import generator
from zerosum.api import load
from zerosum.domains.images import networks
from zerosum.errors import UserError
from zerosum.memory import AllocationLimit, AllocationLimitExceeded


def describe_anew(folder: Path, **fields: Any) -> None:
    """Changes the description of the generator, and nothing of its weights."""
    card = json.loads((folder / "generator.json").read_text(encoding="utf-8"))
    card["recipe"]["generator"] |= fields
    (folder / "generator.json").write_text(json.dumps(card), encoding="utf-8")


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        *((kind, {"width": 10**6}) for kind in ("conv", "biggan", "resnet", "r3", "light")),
        ("style", {"width": 10**6, "max_width": 10**6}),
        ("mlp", {"widths": [10**6, 10**6]}),
        ("mlp", {"widths": [32] * 20_000}),
    ],
)
def test_no_memory_beyond_the_weights(kind: str, asked: dict[str, Any], tmp_path: Path) -> None:
    generator(tmp_path, kind)
    describe_anew(tmp_path, **asked)
    begun = time.process_time()
    with pytest.raises(UserError, match=r"another architecture: they are [\d,]+ numbers in \d+ tensors, and its desc"):
        load(tmp_path)
    assert time.process_time() - begun < 20


def test_a_little_more_is_told_by_its_sizes(tmp_path: Path) -> None:
    generator(tmp_path, "conv")
    describe_anew(tmp_path, width=16)
    with pytest.raises(UserError, match="another architecture: size mismatch for"):
        load(tmp_path)


def test_what_is_counted() -> None:
    stored = [torch.zeros(2, 3), torch.zeros(4)]
    with AllocationLimit(stored) as room:
        before = room.numbers, room.tensors
        torch.nn.Linear(3, 5)
        torch.zeros((2, 2)).new_empty(7)
        torch.ones(2, 5)
    assert before[0] - room.numbers == 15 + 5 + 4 + 7 + 10
    assert before[1] - room.tensors == 5
    with (
        pytest.raises(
            AllocationLimitExceeded,
            match="they are 10 numbers in 2 tensors, and its description asks for a tensor of 1000000x1",
        ),
        AllocationLimit(stored),
    ):
        torch.nn.Linear(10**6, 10**6)


def test_sampling_builds_no_discriminator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = generator(tmp_path, "conv").sample(3, 0)

    def none(*args: Any, **named: Any) -> Any:
        raise AssertionError("a discriminator was built")

    monkeypatch.setattr(networks, "DISCRIMINATORS", dict.fromkeys(networks.DISCRIMINATORS, none))
    torch.testing.assert_close(load(tmp_path).sample(3, 0), made, rtol=0, atol=0)


def test_weights_are_those_of_the_card(tmp_path: Path) -> None:
    """One bit of one weight is enough, and whole other weights are as well."""
    generator(tmp_path / "a", "conv")
    generator(tmp_path / "b", "conv", seed=1)
    weights = tmp_path / "a" / "generator.safetensors"
    body = weights.read_bytes()
    weights.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    with pytest.raises(UserError, match=r"does not match the SHA-256 in generator\.json"):
        load(tmp_path / "a")
    weights.write_bytes((tmp_path / "b" / weights.name).read_bytes())
    with pytest.raises(UserError, match="does not match the SHA-256"):
        load(tmp_path / "a")
    weights.write_bytes(body)
    load(tmp_path / "a")
