"""The contract of a domain, and the helpers that most domains want."""

from __future__ import annotations

from zerosum.domain.contract import (
    Baseline,
    Data,
    Domain,
    DomainSource,
    Evaluation,
    Evaluator,
    Games,
    GeneratorHandle,
    Media,
    PreviewContext,
    QuickMetrics,
    Recipes,
    RecommendRecipe,
    SampleResult,
    Write,
    WriteOptions,
)
from zerosum.domain.factory import both, duel, generator, make, network, pair, penalties_of, penalty_maker, seeded
from zerosum.domain.info import AttributeCondition, ClassCondition, Condition, DatasetInfo, OtherCondition, SampleInfo
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
