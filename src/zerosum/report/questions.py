"""The questions that metrics answer: the metrics of each question, and the one that represents it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zerosum.formatting import metric_words
from zerosum.report.log_names import MEANINGS
from zerosum.report.read import Json, RunContents, as_dict, as_list, number


@dataclass(frozen=True)
class Question:
    """A question about a generator. key: its anchor on the page. measures: base names of the metrics and health numbers that
    answer it; the first one that a run has represents the others."""

    key: str
    words: str
    measures: tuple[str, ...]


FRECHET = ("fid", "frechet", "fid_infinity", "frechet_infinity")


def _question(key: str, words: str, measures: str) -> Question:
    return Question(key, words, tuple(measures.split()))


QUESTIONS = (
    _question(
        "real",
        "Is it real?",
        f"{' '.join(FRECHET)} "
        "total_variation two_sample 1-NNA patch_distance wasserstein_1 wasserstein_2 JS KL_reverse kid "
        "kernel_distance MMD2 MMD JSD share_near precision density inception_score class_score column_shapes "
        "missing_pairs pair_trends learnt_from log_mel_distance "
        "modulation_distance modulation_peak silence_share bandwidth contrast_ratio "
        "augmentation_leak "
        "patch_distance_1 patch_distance_2 patch_distance_rest frechet_random_2d frechet_random_3d frechet_axial "
        "frechet_coronal frechet_sagittal through_plane histogram gradient_energy colour_shift "
        "difference_frechet motion_frechet jerk speed mass flicker warping_error frame_confidence",
    ),
    _question(
        "varied",
        "Is it varied?",
        "coverage modes modes_found COV recall classes_found class_deviation class_diversity mode_kl KL diversity "
        "pair_similarity",
    ),
    _question(
        "copies",
        "Does it copy?",
        "copy_rate closer_to_training copied_rows nearest_in_train memorisation_p nearest_in_train_p",
    ),
    _question(
        "wins",
        "Does D win?",
        "discriminator_fakes discriminator_heldout discriminator_train accuracy/fake D_distance V_gap",
    ),
    _question(
        "asked",
        "Is it as requested?",
        "class_accuracy label_accuracy label_agreement psnr psnr_y ssim target_error label_dice volume_error edges_kept "
        "asked_returned asked_shapes asked_numbers asked_missing asked_pairs constraints_kept class_kept class_frechet",
    ),
)
IN_WORDS = {
    "discriminator_fakes": "of the fakes, D calls fake",
    "copy_rate": "of the samples are close to a training sample",
    "closer_to_training": "of the samples are closest to a training row",
    "coverage": "of the reals have a sample nearby",
    "recall": "of the reals lie among the samples",
    "class_accuracy": "of the samples are of the requested class",
    "total_variation": "total variation: the share of mass at other places",
    "two_sample": "area under the ROC curve of trees that classify generated and real rows",
    "1-NNA": "of all shapes have their nearest neighbour in their own set",
    "patch_distance": "patch distance of the finest details",
    "COV": "of the real shapes are the nearest one to a generated shape",
    "psnr": "PSNR in decibels",
    "asked_returned": "of the rows have the requested values",
}
"""Explanations of representing metrics whose name does not state what is counted."""
HEALTH_RECORDS: dict[str, Json] = {
    "diversity": {"label": "times the variety of the reals", "better": "near 1", "meaning": MEANINGS["diversity"]},
    "accuracy/fake": {"label": "of the fakes, D calls fake", "better": "near 0.5", "meaning": MEANINGS["judged"]},
}
"""Numbers of the health checks that answer a question."""
REST = Question("rest", "Further measures", ())
"""Metrics that answer none of the questions, such as the scores of old papers."""


@dataclass(frozen=True)
class MeasureRow:
    """One row of the page: a metric, and others that measure the same from other samples or in another way."""

    record: Json
    others: tuple[Json, ...] = ()


def base_of(record: Json) -> str:
    """The name of a metric without its brackets."""
    return str(record.get("name", "metric")).partition("[")[0]


def name_of(record: Json) -> tuple[str, str]:
    """The kind of the metric in words, and the tag with its extractor and number of samples."""
    kind, bracket, tag = str(record.get("name", "metric")).partition("[")
    words = metric_words(kind.replace("_", " "))
    return words[:1].upper() + words[1:], bracket + tag


def newest(folder: RunContents) -> list[Json]:
    """The records of the newest evaluation."""
    return [as_dict(record) for record in as_list(folder.last("evaluation").get("records"))]


def question_of(name: str) -> Question:
    """The question that a metric of this name answers, or `REST`."""
    base = name.partition("[")[0]
    return next((question for question in QUESTIONS if base in question.measures), REST)


def answers(records: Sequence[Json]) -> list[tuple[Question, list[MeasureRow]]]:
    """The questions that these records answer, each with its rows; the Fréchet distances are one row."""
    found = []
    for question in (*QUESTIONS, REST):
        own = [record for record in records if question_of(base_of(record)) is question]
        if question is not REST:
            own.sort(key=lambda record: question.measures.index(base_of(record)))
        if own:
            found.append((question, _make_rows(own)))
    return found


def _make_rows(records: Sequence[Json]) -> list[MeasureRow]:
    family = [record for record in records if base_of(record) in FRECHET]
    if not family:
        return [MeasureRow(record) for record in records]
    # A distance with a reference of unseen real data is preferred.
    first = next((one for one in family if _has_reference(one)), family[0])
    others = tuple(one for one in family if one is not first)
    return [MeasureRow(first, others), *(MeasureRow(record) for record in records if base_of(record) not in FRECHET)]


def _has_reference(record: Json) -> bool:
    reference = record.get("reference")
    value = reference.get("value") if isinstance(reference, dict) else reference
    return number(value) is not None and not base_of(record).endswith("_infinity")


def headlines(folder: RunContents) -> list[tuple[Question, Json]]:
    """For each question that the run can answer, the record that represents it: of the newest evaluation, or made from the
    newest health check."""
    seen = as_dict(folder.last("health").get("values"))
    looked = [
        {"name": name, "value": seen[name], **fields}
        for name, fields in HEALTH_RECORDS.items()
        if number(seen.get(name)) is not None
    ]
    found = []
    for question, lines in answers([*newest(folder), *looked]):
        if question is not REST:
            found.append((question, lines[0].record))
    return found
