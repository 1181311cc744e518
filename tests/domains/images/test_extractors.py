"""Feature extractors by name: which there are, what each wants, and how their numbers are called."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from zerosum.domain.contract import EvalOptions
from zerosum.domains.images import features
from zerosum.domains.images.data import Images, ImageSource, Shape
from zerosum.domains.images.evaluator import ImageEvaluator
from zerosum.domains.images.features import make_extractor
from zerosum.errors import UserError
from zerosum.metrics.feature_networks import extract


def source(num: int = 60, labelled: bool = True) -> ImageSource:
    pixels = torch.randint(0, 256, (num, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    labels = torch.arange(num) % 2 if labelled else None
    if labels is not None:
        pixels[labels == 1, :, :4] = 255
    train = Images(pixels, labels)
    return ImageSource("halves", Shape(1, 8, 8, 2 if labelled else 0), train, None, ("a", "b"), (), "f" * 64)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("classifiers")


class Means(nn.Module):
    """Mean of each row of pixels."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(3).flatten(1)


def exported(path: Path, network: nn.Module | None = None) -> Path:
    batch = torch.export.Dim("batch", min=1)
    torch.export.save(
        torch.export.export(network or Means(), (torch.zeros(3, 1, 8, 8),), dynamic_shapes=[{0: batch}]), path
    )
    return path


def scripted(path: Path) -> Path:
    torch.jit.trace(Means(), torch.zeros(3, 1, 8, 8)).save(str(path))
    return path


def test_each_name_gives_its_extractor(cache: Path) -> None:
    data = source()
    assert make_extractor(data, EvalOptions(), cache).name.startswith("halves-classifier-")
    assert make_extractor(data, EvalOptions("classifier"), cache).logits is not None
    assert make_extractor(data, EvalOptions("random"), cache).name.startswith("random-conv-v1-")
    assert make_extractor(source(labelled=False), EvalOptions(), cache).name.startswith("random-conv-v1-")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit.trace
@pytest.mark.parametrize("make", [exported, scripted])
def test_a_file_of_the_users_is_used_when_trusted(make: object, tmp_path: Path, cache: Path) -> None:
    assert callable(make)
    path = make(tmp_path / ("mine.pt2" if make is exported else "mine.pt"))
    data = source()
    with pytest.raises(UserError, match=r"would run code .* add --trust"):
        make_extractor(data, EvalOptions(f"file:{path}"))
    extractor = make_extractor(data, EvalOptions(f"file:{path}", trust=True))
    assert extractor.name == f"mine-{extractor.sha256[:8]}"
    expected = data.train.pixels.float().mean(3).flatten(1)
    torch.testing.assert_close(extract(extractor, data.train.pixels, 7), expected)  # 60 rows in batches of 7
    records = ImageEvaluator(data, options=EvalOptions(f"file:{path}", 50, trust=True), cache_dir=cache).evaluate(
        data.train.pixels[:50]
    )
    assert records[0].name == f"frechet[mine-{extractor.sha256[:8]},n=50]"
    assert any(one.name.startswith("classes_found[halves-classifier-") for one in records)
    assert not any(one.name.startswith("class_score") for one in records)


def test_what_cannot_be_had_is_told(tmp_path: Path) -> None:
    data = source()
    broken = tmp_path / "text.pt"
    broken.write_text("nothing")
    for options, words in (
        (EvalOptions("clasifier"), "Did you mean 'classifier'"),
        (EvalOptions("random:x"), "only file:PATH"),
        (EvalOptions("file:/nowhere.pt"), "there is no file '/nowhere.pt'"),
        (EvalOptions(f"file:{broken}", trust=True), "neither a torch.export file"),
        (EvalOptions("random", weights=broken), "belong to --extractor inception"),
        (EvalOptions("inception"), "--weights PATH"),
        (EvalOptions("inception", weights=broken), "not a file of weights"),
    ):
        with pytest.raises(UserError, match=words):
            make_extractor(data, options, tmp_path)
    with pytest.raises(UserError, match="no labels"):
        make_extractor(source(labelled=False), EvalOptions("classifier"), cache)
    with pytest.raises(UserError, match="more than the 60 training images"):
        ImageEvaluator(data, options=EvalOptions(num=61))


def test_a_network_that_gives_no_rows_is_told(tmp_path: Path) -> None:
    class Scalar(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean()

    extractor = make_extractor(source(), EvalOptions(f"file:{exported(tmp_path / 'scalar.pt2', Scalar())}", trust=True))
    with pytest.raises(UserError, match=r"must return one tensor \(N, D\)"):
        extractor.features(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
    with pytest.raises(UserError, match="refuses float32 images"):
        extractor.features(torch.zeros(2, 1, 5, 5, dtype=torch.uint8))


def test_only_the_standard_weights_make_a_fid(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is replaced by a small one; the name hangs on the hash of the weights alone."""

    class Small(nn.Module):
        def features(self, images: Tensor) -> Tensor:
            return images.float().flatten(1)[:, :4]

        def logits(self, features: Tensor) -> Tensor:
            return features / 100

    data = source()
    for sha256, names in (
        (features.SHA256, {"fid", "kid", "inception_score", "fid_infinity"}),
        ("0" * 64, {"frechet", "kernel_distance", "class_score", "frechet_infinity"}),
    ):
        monkeypatch.setattr(features, "load_inception", lambda path, sha256=sha256: (Small(), sha256))
        evaluator = ImageEvaluator(data, cache_dir=cache, options=EvalOptions("inception", weights=Path("any")))
        found = {one.name.split("[")[0] for one in evaluator.evaluate(data.train.pixels)}
        assert names <= found
        assert ("fid" in found) is ("fid" in names)


def test_every_name_offered_has_a_maker() -> None:
    assert set(features.EXTRACTORS) == {"classifier", "random", "inception", "file"}
