"""What the domain does for each kind of condition (`data.Condition`): how samples are measured and made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from zerosum.domain import DatasetInfo, GeneratorHandle, SampleRequest, SampleResult
from zerosum.domain.contract import EvalOptions
from zerosum.domains.audio import speaking, streaming
from zerosum.domains.audio.data import AudioSource
from zerosum.domains.audio.evaluator import SoundEvaluator
from zerosum.domains.audio.speech_evaluator import SpeechEvaluator
from zerosum.domains.audio.vocoder_evaluator import VocoderEvaluator
from zerosum.errors import UserError

EVALUATORS: Mapping[str, Callable[[Any, int], Any]] = {
    "class": SoundEvaluator,
    "mel": VocoderEvaluator,
    "text": SpeechEvaluator,
}
SAMPLES: Mapping[str, Callable[[GeneratorHandle, DatasetInfo, SampleRequest], SampleResult | None]] = {
    "class": lambda *_: None,
    "mel": streaming.sample,
    "text": speaking.sample,
}
OPTIONS = {streaming.INPUT: "mel", speaking.TEXT: "text", speaking.TEXT_FILE: "text"}
"""Options of `zerosum sample`, with the kind of condition that they need."""
GENERATORS = {
    "mel": "a vocoder: a generator trained with --recipe vocoder",
    "text": "a voice: a generator trained with the recipe speech, on recordings with texts",
}


def evaluator(source: AudioSource, seed: int) -> Any:
    """The evaluator of a source."""
    return EVALUATORS[source.condition_kind](source, seed)


def adjusted(one: Any, options: EvalOptions) -> Any:
    """The same evaluator with another extractor or another number of samples."""
    return one.adjusted(options)


def conditions(one: Any) -> Tensor | None:
    """The conditions of the samples that an evaluator measures; None for those with which the generator is sampled."""
    return one.conditions() if isinstance(one, VocoderEvaluator | SpeechEvaluator) else None


def sample(generator: GeneratorHandle, info: DatasetInfo, request: SampleRequest) -> SampleResult | None:
    """What `zerosum sample` makes by the domain's own function; None for the general one."""
    for option, needed in OPTIONS.items():
        if needed != info.payload.get("condition", "class") and option.value(request):
            raise UserError(f"{option.flag} needs {GENERATORS[needed]}.")
    return SAMPLES[info.payload.get("condition", "class")](generator, info, request)


def best_metric(info: DatasetInfo) -> str:
    """The quick value by which the best generator is stored."""
    return {"class": "frechet", "mel": "stft_distance", "text": "mel_distance"}[info.payload.get("condition", "class")]


def num_quick(info: DatasetInfo) -> int:
    """The samples that are made for the quick values: few where a sample takes long."""
    return {"class": 128, "mel": 16, "text": 16}[info.payload.get("condition", "class")]
