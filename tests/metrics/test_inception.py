"""The Inception network: its size, what goes in and comes out, and weights that are none."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zerosum.domains.images.inception import Inception, load_inception, to_input
from zerosum.errors import UserError


def test_it_has_the_parameters_of_the_published_file() -> None:
    """The standard file holds 566 tensors; Inception-v3 without its auxiliary head has 23,834,568 for 1,000 classes."""
    state = Inception().state_dict()
    assert len(state) == 566
    numbers = sum(value.numel() for name, value in state.items() if not name.endswith(TRACKED))
    assert numbers == 23_834_568 + 8 * 2049
    assert state["fc.weight"].shape == (1008, 2048)
    assert state["Mixed_7c.branch3x3dbl_3b.conv.weight"].shape == (384, 384, 3, 1)
    assert state["Mixed_6b.branch7x7dbl_2.conv.weight"].shape == (128, 128, 7, 1)


TRACKED = ("running_mean", "running_var", "num_batches_tracked")


def test_batches_and_grey_images() -> None:
    network = Inception().eval()
    grey = torch.randint(0, 256, (2, 1, 20, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = network.features(grey)
        assert features.shape == (2, 2048)
        torch.testing.assert_close(network.features(grey[1:]), features[1:])
        torch.testing.assert_close(network.features(grey.expand(-1, 3, -1, -1)), features)
        assert network.logits(features).shape == (2, 1008)


def test_averages_do_not_count_the_padding() -> None:
    """In the corner of a constant map a pool that counted its zeros would give 4/9 of the constant."""
    ones = torch.ones(1, 2048, 5, 5)
    network = Inception()
    torch.testing.assert_close(network.Mixed_7b._pooled(ones[:, :1280]), ones[:, :1280])
    torch.testing.assert_close(network.Mixed_7c._pooled(-ones), -ones)  # and the largest of padded ones would be 0


@pytest.mark.parametrize("size", [(32, 32), (340, 500)])
def test_the_resize_is_that_of_pillow(size: tuple[int, int]) -> None:
    pixels = torch.randint(0, 256, (1, 1, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = Image.fromarray(pixels[0, 0].numpy().astype("float32")).resize((299, 299), Image.Resampling.BICUBIC)
    found = to_input(pixels)[0, 0] * 128 + 128
    torch.testing.assert_close(found, torch.from_numpy(np.array(expected)), atol=2e-2, rtol=0)


def test_range_is_that_of_the_first_graph() -> None:
    image = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 299, 299)
    assert to_input(image)[0, :, 5, 5].tolist() == [-1.0, 0.0, 127 / 128]


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch evil-was-here",)


def test_a_file_that_would_run_code_runs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"fc.weight": Evil()}, "evil.pth")
    with pytest.raises(UserError, match=r"evil\.pth: not a file of weights"):
        load_inception(Path("evil.pth"))
    assert not Path("evil-was-here").exists()


def test_other_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "other.pth")
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    for name, words in (
        ("text", "not a file of weights"),
        ("other", "not the weights of this"),
        ("list", "not a file of weights"),
        ("absent", "cannot be read"),
    ):
        with pytest.raises(UserError, match=words):
            load_inception(tmp_path / f"{name}.pth")
