"""The dose of a style: nothing at 0, as trained at 1, in between along a line of weights; tiles are the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import infos
from zerosum.domain import SampleRequest
from zerosum.domains.translation.inference import ImageTranslator, sample
from zerosum.domains.translation.networks.cut import INITIAL, ResidualIdentity
from zerosum.domains.translation.sides import Side, TranslationTask
from zerosum.domains.translation.tiling import apply_in_tiles
from zerosum.engine.optimizers import WeightAverage

TASK = TranslationTask(Side(3), Side(3), paired=False)


def fresh(**options: object) -> ResidualIdentity:
    torch.manual_seed(0)
    return ResidualIdentity(TASK, latent=1, width=4, levels=1, blocks=1, features=8, **options)  # type: ignore[arg-type]


def trained() -> ResidualIdentity:
    network = fresh()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    return network


def picture(height: int = 20, width: int = 28) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(2)) * 2 - 1


NOISE = torch.zeros(1, 1)


def test_it_begins_as_the_identity() -> None:
    x = picture()[None]
    assert torch.equal(fresh()(NOISE, x), x)


def test_no_dose_gives_the_input_back_and_a_full_one_what_was_trained() -> None:
    network, x = trained(), picture()[None]
    assert float((network(NOISE, x) - x).detach().abs().mean()) > 0.05
    assert torch.equal(network.with_strength(0)(NOISE, x), x)
    torch.testing.assert_close(network.with_strength(1)(NOISE, x), network(NOISE, x))


def test_the_dose_interpolates_every_weight() -> None:
    network = trained()
    begun = dict(network.named_buffers())
    for name, weight in network.with_strength(0.25).change.network.named_parameters():
        now = network.get_parameter(f"change.network.{name}")
        first = begun[INITIAL + name.replace(".", "/")]
        torch.testing.assert_close(weight, 0.75 * first + 0.25 * now)
    x = picture()[None]
    far = [float((network.with_strength(s)(NOISE, x) - x).detach().abs().mean()) for s in (0, 0.25, 0.5, 0.75, 1)]
    assert far == sorted(far)
    # It is no blend of two pictures: the layers before the last change too.
    half = (x + network(NOISE, x)) / 2
    assert not torch.allclose(network.with_strength(0.5)(NOISE, x), half, atol=1e-3)


def test_where_it_began_goes_with_it() -> None:
    """Through the average and through saved weights."""
    network, x = trained(), picture()[None]
    average = WeightAverage(network).network
    other = fresh()
    other.load_state_dict(average.state_dict())
    assert isinstance(average, ResidualIdentity)
    for loaded in (average, other):
        assert torch.equal(loaded.with_strength(0)(NOISE, x), x)


def test_tiles_are_the_whole_picture() -> None:
    """With pixel norm it sees no farther than its reach, so tiles change nothing."""
    network = trained().eval()
    assert network.reach is not None
    image = picture(60, 700)
    info = infos.of_pairs(Side(3), Side(3), paired=False)
    from zerosum.domains.translation.inference import _tiling

    tiling = _tiling(network, info)
    assert tiling.margin >= network.reach
    translator = ImageTranslator(network, Side(3), Side(3), NOISE, torch.device("cpu"), tiling, "", False)
    found = translator.translate(image)
    larger = apply_in_tiles(
        lambda piece, place: translator.translate_rows(piece[None], place)[0], image, type(tiling)(1024, 64, 64, 16)
    )
    torch.testing.assert_close(found, larger, rtol=1e-4, atol=1e-5)


def test_the_command_doses_it(tmp_path: Path) -> None:
    """--strength 0 writes the very pixels that were read; more strength, more change."""
    from types import SimpleNamespace

    from zerosum.data.images.lossless_io import read
    from zerosum.domains.translation.writing import write

    values = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    write(tmp_path / "a.png", values)
    info = infos.of_pairs(Side(3), Side(3), paired=False)
    maker = SimpleNamespace(
        network=trained().eval(), info=info, device=torch.device("cpu"), noise=lambda num, seed: NOISE, examples=None
    )
    changed = []
    for strength in (0.0, 0.5, 1.0):
        out = tmp_path / f"{strength}.png"
        sample(maker, info, SampleRequest(None, 0, out, {"input": (tmp_path / "a.png",), "strength": strength}))  # type: ignore[arg-type]
        changed.append(float(np.abs(read(out).values.astype(int) - values).mean()))
    assert changed[0] == 0
    assert changed[0] < changed[1] < changed[2]


def test_it_changes_images_only() -> None:
    with pytest.raises(ValueError, match="for label maps use"):
        ResidualIdentity(TranslationTask(Side(2, "labels", ((0,), (1,))), Side(3), paired=False), latent=1)
