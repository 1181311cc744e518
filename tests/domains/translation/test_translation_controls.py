"""Controls are measured with every metric of translations; a metric that cannot tell real images from them says so."""

from __future__ import annotations

import torch

from zerosum.domains.translation import DOMAIN
from zerosum.domains.translation.evaluator import TranslationEvaluator
from zerosum.domains.translation.measures import controls
from zerosum.domains.translation.measures.controls import TranslationControls
from zerosum.metrics.record import Record
from zerosum.recipe import part

LEVELS = tuple(f"patch_distance[level={level}," for level in ("1", "2", "rest"))


def of(name: str, num: int = 256) -> TranslationControls:
    """The controls of a named source's first `num` reals."""
    evaluator = DOMAIN.evaluation.evaluator(DOMAIN.data.open(part(name), False), 0)
    assert isinstance(evaluator, TranslationEvaluator)
    reals, own = evaluator.reals, evaluator._controls
    picked = type(reals)(reals.inputs[:num], reals.targets[:num], reals.others[:num], reals.split)
    return TranslationControls(picked, own.paired, own.target, own.reader, own.seed)


def doubt(own: TranslationControls, name: str, better: str = "higher") -> str:
    protocol = own.add_to(Record(name, 0.5, {}, better, "")).protocol
    assert protocol.get("controls")
    return str(protocol.get("cannot_judge", ""))


def test_controls_of_pairs_fail() -> None:
    own = of("digit-outlines")
    for level in LEVELS:
        values = dict(own.values[level])
        assert set(values) == {controls.OTHERS, controls.UNTRANSLATED, controls.REPEATED, controls.NOISE}
        assert values.pop(controls.OTHERS) < 0.5 * min(values.values())
        assert doubt(own, f"{level}n=256]", "lower") == ""
    edges = dict(own.values["edges_kept"])
    assert set(edges) == {controls.TRUE, controls.SHUFFLED, controls.REPEATED, controls.NOISE}
    assert edges.pop(controls.TRUE) > 1.1 * max(edges.values())
    # An outline and its filled digit share few edges: the truth scores 0.098, any digit 0.085.
    assert doubt(own, "edges_kept[ssim,n=256]").startswith("True targets score 0.0978, one target repeated 0.0849")
    for name, most in (("psnr[", 15), ("ssim[", 0.4)):
        assert set(own.values[name]) == {controls.UNTRANSLATED, controls.SHUFFLED, controls.REPEATED}
        assert max(own.values[name].values()) < most
        assert doubt(own, f"{name}grey,n=256]") == ""
    assert own.values["contrast_ratio"][controls.MEAN] < 0.8 < 0.95 < own.values["contrast_ratio"][controls.OTHERS]
    assert doubt(own, "contrast_ratio[n=256]", "near 1") == ""


def test_controls_without_pairs_fail() -> None:
    own = of("digit-styles")
    for level in LEVELS:
        values = dict(own.values[level])
        assert values.pop(controls.OTHERS) < 0.5 * min(values.values())
    assert set(own.values["edges_kept"]) == {controls.SHUFFLED, controls.REPEATED, controls.NOISE}
    assert max(own.values["edges_kept"].values()) < 0.2  # the untranslated input keeps all, 1


def test_few_images_judge_only_errors_against_the_truth() -> None:
    own = of("digit-outlines", 15)
    for name, better in (
        (f"{LEVELS[0]}n=15]", "lower"),
        ("edges_kept[ssim,n=15]", "higher"),
        ("contrast_ratio", "near 1"),
    ):
        assert doubt(own, name, better) == "15 real images are too few; 16 are needed."
    assert doubt(own, "psnr[grey,n=15]") == ""


def test_where_all_targets_have_the_same_edges_edges_judge_nothing() -> None:
    own = of("digit-outlines", 64)
    alike = own.reals.targets[:1].repeat(64, 1, 1, 1)
    noisy = alike + 0.01 * torch.randn(alike.shape, generator=torch.Generator().manual_seed(0))
    same = TranslationControls(type(own.reals)(alike, noisy, noisy, "train"), True, own.target, own.reader, 0)
    assert doubt(same, "edges_kept[ssim,n=64]").startswith("True targets score ")
