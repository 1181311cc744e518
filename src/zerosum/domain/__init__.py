"""The contract of a domain, and the helpers that most domains want."""

from __future__ import annotations

from zerosum.domain.conditions import AttributeCondition, ClassCondition, Condition, OtherCondition
from zerosum.domain.contract import Data, Domain, Evaluation, Games, Media, Recipes
from zerosum.domain.factory import both, duel, generator, make, network, pair, penalties_of, penalty_maker, seeded
from zerosum.domain.info import DatasetInfo, SampleInfo
from zerosum.domain.protocols import (
    Baseline,
    DomainSource,
    Evaluator,
    GeneratorHandle,
    PreviewContext,
    QuickMetrics,
    RecommendRecipe,
    SampleResult,
    Write,
    WriteOptions,
)
from zerosum.domain.sample_options import SIZE, SampleOption, SampleRequest, picture_size

__all__ = [
    "SIZE",
    "AttributeCondition",
    "Baseline",
    "ClassCondition",
    "Condition",
    "Data",
    "DatasetInfo",
    "Domain",
    "DomainSource",
    "Evaluation",
    "Evaluator",
    "Games",
    "GeneratorHandle",
    "Media",
    "OtherCondition",
    "PreviewContext",
    "QuickMetrics",
    "Recipes",
    "RecommendRecipe",
    "SampleInfo",
    "SampleOption",
    "SampleRequest",
    "SampleResult",
    "Write",
    "WriteOptions",
    "both",
    "duel",
    "generator",
    "make",
    "network",
    "pair",
    "penalties_of",
    "penalty_maker",
    "picture_size",
    "seeded",
]
