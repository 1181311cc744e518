"""Speech from text: the networks, the game in phases, and recordings of texts."""

from __future__ import annotations

import functools
import re
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from domain_games import begun, planned, played
from zerosum import recipe as recipes
from zerosum.api import load
from zerosum.data import progress
from zerosum.domain import SampleRequest
from zerosum.domains.audio import DOMAIN, data, media, speech, texts
from zerosum.domains.audio.recogniser import lengths_of
from zerosum.domains.audio.speech import SpeechGenerator
from zerosum.engine.game import Batch
from zerosum.engine.phases import Phases, Together
from zerosum.errors import UserError
from zerosum.evaluation import discriminator_scores
from zerosum.generation import sampler
from zerosum.generation.export import exporting
from zerosum.generation.latents.space import Space
from zerosum.recipe import part


@functools.cache
def source(**options: Any) -> data.AudioSource:
    return data.open_source(part("beeps", **{"num": 24, **options}), False)


def network(**options: Any) -> SpeechGenerator:
    torch.manual_seed(0)
    small = {"width": 8, "blocks": 2, "text_width": 8, "text_blocks": 1, "duration_blocks": 1, "vocoder_width": 8,
             "vocoder_blocks": 1, "iterations": 2}  # fmt: skip
    return SpeechGenerator(speech.voice_of(source().info()), **{**small, **options}).eval()


def rows(*lines: str) -> Tensor:
    return texts.encoded(lines, [0] * len(lines), source().alphabet)


# --- the generator


@pytest.mark.parametrize("width", [0, 8])
def test_a_text_is_spoken_the_same_alone_and_in_a_batch(width: int) -> None:
    one, lines = network(vocoder_width=width), ["sun", "gold kite able", "rose"]
    with torch.no_grad():
        together = one(torch.zeros(3, 1), rows(*lines))
        assert together.shape == (3, 1, source().data.shape[2])
        assert float(together.abs().max()) <= 1
        for place, line in enumerate(lines):
            alone = one.speak(rows(line))
            samples = alone.shape[2]
            assert torch.equal(together[place : place + 1, :, :samples], alone)
            assert not together[place, :, samples:].any()


def test_the_paths_of_training_and_of_sampling_agree() -> None:
    """In training all rows are made at once, as long as the longest clip; then row by row. Waves near the end of a row differ,
    where the one still has silence and the other has nothing."""
    one = network(vocoder_width=0)
    given = rows("sun", "gold kite able")
    x, mask = one.encode(given)
    durations = one.spoken_durations(given, x, mask, 400)
    made, inside = one.decode(x, durations, 400)
    for place, line in enumerate(("sun", "gold kite able")):
        own, own_mask = one.encode(rows(line))
        alone = one.spoken_durations(rows(line), own, own_mask, 400)
        assert alone[0].tolist() == durations[place, : alone.shape[1]].tolist()
        frames = int(alone.sum())
        assert inside[place].sum() == frames
        mel, _ = one.decode(own, alone, frames)
        torch.testing.assert_close(made[place, :, :, :frames], mel[0], rtol=1e-4, atol=1e-5)


def test_durations_add_up_and_a_wanted_length_is_kept() -> None:
    one = network()
    given = rows("gold kite able")
    x, mask = one.encode(given)
    durations = one.spoken_durations(given, x, mask, 400)
    assert int(durations.sum()) == round(float(one.log_durations(x, mask).detach().exp()[mask[:, 0] > 0].sum()))
    given[:, 0] = 6_400.0
    assert int(one.spoken_durations(given, x, mask, 400).sum()) == 100  # of 64 samples
    assert int(one.spoken_durations(given, x, mask, 30).sum()) == 30
    assert int(one.spoken_durations(rows("  "), *one.encode(rows("  ")), 30).sum()) >= 1


def test_each_frame_knows_its_character() -> None:
    """With features that count the characters, the expanded features are those of the character of each frame."""
    one = network()
    seen: list[Tensor] = []
    one.first.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    x = torch.arange(1.0, 5.0).expand(1, 8, 4)
    _, mask = one.decode(x, torch.tensor([[2, 0, 3, 1]]), 8)
    assert seen[0][0, 0].tolist() == [1, 1, 3, 3, 3, 4, 4, 4]
    assert mask[0, 0].tolist() == [1, 1, 1, 1, 1, 1, 0, 0]
    torch.testing.assert_close(seen[0][0, 8, :6], torch.tensor([0.25, 0.75, 1 / 6, 0.5, 5 / 6, 0.5]))


def test_the_alignment_follows_the_sound() -> None:
    """Where the encoder expects exactly what a recording has for each character, its durations are those of the recording."""
    one, real = network(), source()
    batch = real.batch(torch.arange(2))
    spoken = one.spoken(batch)
    assert spoken.durations.sum(1).tolist() == spoken.frames.tolist()
    assert spoken.real.shape[3] == int(spoken.frames.max())
    longer = Batch(torch.cat([batch.data, torch.ones(2, 1, 4_096)], 2), batch.condition)
    torch.testing.assert_close(
        one.spoken(longer).real, spoken.real, rtol=0, atol=1e-3
    )  # what follows a recording is unseen


# --- the game


def test_the_phases_of_the_game() -> None:
    loop = begun("speech")
    game = loop.game
    assert isinstance(game, Phases)
    first, second = game.games
    assert isinstance(first, Together)
    assert [turn.players for turn in game.turns(0)] == [("generator",), ("discriminator",), ("generator",)]
    assert [turn.players for turn in game.turns(1)] == [("generator",)]
    assert len(second.turns(2)) == 4
    assert game.reals_before(4) == sum(turn.reals for step in range(4) for turn in game.turns(step))
    critic = game.players["discriminator"].mel.output.weight.clone()
    played(loop, 2)
    assert torch.equal(critic, game.players["discriminator"].mel.output.weight)
    assert {"generator/speech_mel", "generator/waves/stft", "discriminator/waves/loss"} <= loop.values().keys()
    played(loop, 1)
    assert not torch.equal(critic, game.players["discriminator"].mel.output.weight)
    assert "D(x)" in loop.values()


@pytest.mark.parametrize("settings", [("data.channels=2",), ("data.rate=16000", "data.normalise=rms")])
def test_other_forms_of_waves(settings: tuple[str, ...]) -> None:
    loop = played(begun("speech", *settings), 3)
    given = loop.source.batch(torch.arange(2))
    made = loop.game.players["generator"].eval()(torch.zeros(2, 1), given.condition)
    assert made.shape == given.data.shape
    assert [int(lengths) for lengths in lengths_of(made) > 0] == [1, 1]


def test_without_a_vocoder_griffin_lim_makes_the_waves() -> None:
    loop = begun("speech", "generator.vocoder_width=0")
    assert [turn.players for turn in loop.game.turns(0)] == [("generator",)]
    played(loop, 3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["conditional=false"], r"speech needs texts.*--set data\.condition=class"),
        (["generator.phase=0"], "phase must lie in"),
        (["generator.crop=0"], "at least 1"),
        (["generator.width=-1"], "width, blocks.* must be at least 1"),
        (["generator.text_blocks=-1"], "text_blocks.* must be at least 1"),
        (["generator.vocoder_width=-1"], "vocoder_width at least 0"),
        (["generator.vocoder_blocks=0"], "blocks and kernel must be at least 1"),
        (["discriminator.widths=[0]"], "widths must be at least 1"),
        (["discriminator.vocoder_width=0"], "width and periods must be at least 1"),
        (["discriminator.periods=[0]"], "width and periods must be at least 1"),
        (["discriminator.resolutions=[-1]"], "resolutions above 0"),
        (["generator.kind=vocoder"], "can only be combined"),
    ],
)
def test_what_cannot_be_played_is_refused(settings: list[str], words: str) -> None:
    wanted = recipes.override(DOMAIN.recipes.table["speech"], settings)
    with pytest.raises(UserError, match=words):
        DOMAIN.game.build(wanted, source().info())


def test_recipes_go_with_their_data() -> None:
    with pytest.raises(UserError, match=r"data\.condition=text"):
        DOMAIN.game.build(DOMAIN.recipes.table["speech"], data.open_source(part("tones", num=8), False).info())
    with pytest.raises(UserError, match=r"data\.condition=class"):
        DOMAIN.game.build(DOMAIN.recipes.table["clips"], source().info())
    assert source(condition="class").condition_kind == "class"


def test_a_tiny_voice_learns_to_speak() -> None:
    """In some seconds the alignment is found: the encoder expects what is heard far better than at first."""
    loop = begun(
        "speech", "steps=150", "generator.phase=1", "generator.vocoder_width=0", "generator.text_width=48",
        "generator.width=32", "data.num=40", 'learning.generator={"kind":"adam","lr":0.002}', "batch=8",
    )  # fmt: skip
    played(loop, 5)
    before = loop.values()["generator/speech_alignment"]
    played(loop, 140)
    assert loop.values()["generator/speech_alignment"] < 0.4 * before
    whole: Any = loop.game.players["generator"]
    held = loop.source.heldout_batch(torch.arange(4))
    made = whole.eval()(torch.zeros(4, 1), texts.of_unknown_length(held.condition))
    ratio = lengths_of(made).float() / held.condition[:, 0]
    assert 0.8 < float(ratio.mean()) < 1.25


def publish(folder: Path, *settings: str) -> Any:
    plan, match = planned("speech", *settings), begun("speech", *settings)
    examples = DOMAIN.data.examples
    assert examples is not None
    sampler.publish(folder, match.game.players["generator"], plan.recipe, plan.info, 0, examples(plan.source))
    return load(folder)


def test_a_voice_is_exported(tmp_path: Path) -> None:
    """Checked against the original on batches of several sizes by the export itself."""
    pytest.importorskip("onnx")
    counts = (
        "blocks",
        "text_blocks",
        "duration_blocks",
        "vocoder_blocks",
    )  # one of each: exporting costs seconds a block
    settings = [f"generator.{name}=1" for name in counts]
    voice = publish(tmp_path, "generator.vocoder_width=8", "generator.iterations=1", *settings)
    made = exporting.export(voice, "onnx", tmp_path / "onnx")
    assert {path.name for path in made.paths} >= {"generator.onnx", "generator.json"}


def test_without_a_vocoder_an_export_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="speech without a vocoder cannot be exported"):
        exporting.export(publish(tmp_path, "generator.vocoder_width=0"), "torch", tmp_path / "torch")


def test_there_is_nothing_between_two_samples_of_one_text(voice: Any) -> None:
    with pytest.raises(UserError, match=r"depend on their input \(a text\) alone"):
        Space(voice)


# --- zerosum sample --text


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return publish(tmp_path_factory.mktemp("voice"))


def said(voice: Any, out: Path, num: int | None = None, **options: Any) -> Any:
    return voice.produce(SampleRequest(num, 0, out, options))


def seconds(path: Path) -> float:
    with wave.open(str(path), "rb") as file:
        return file.getnframes() / file.getframerate()


def test_a_text_becomes_a_recording(voice: Any, tmp_path: Path) -> None:
    found = said(voice, tmp_path / "speech.wav", text="Gold sun.")
    assert found.paths == [tmp_path / "speech.wav"]
    one = voice.sampler.network.speak(texts.encoded(["gold sun"], [0], voice.sampler.info.payload["alphabet"]))
    assert seconds(tmp_path / "speech.wav") == pytest.approx(one.shape[2] / 8_000)


def test_sentences_are_joined_with_a_pause(voice: Any, tmp_path: Path) -> None:
    said(voice, tmp_path / "a.wav", text="gold sun")
    said(voice, tmp_path / "b.wav", text="kite")
    said(voice, tmp_path / "both.wav", text="Gold sun. Kite!")
    assert seconds(tmp_path / "both.wav") == pytest.approx(
        seconds(tmp_path / "a.wav") + seconds(tmp_path / "b.wav") + 0.25
    )
    said(voice, tmp_path / "long.wav", text=" ".join(["gold"] * 100))
    assert seconds(tmp_path / "long.wav") > 4


def test_a_long_text_shows_its_progress(
    voice: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said(voice, tmp_path / "short.wav", text="Gold sun. Kite!")
    assert not capsys.readouterr().err  # nothing took long
    monkeypatch.setattr(progress, "FIRST_REPORT_S", 0.0)
    monkeypatch.setattr(progress, "REPORT_EVERY_S", 0.0)
    said(voice, tmp_path / "long.wav", text="Gold sun. Kite! Gold.")
    assert re.findall(r"Speaking: (\d) of 3 sentences", capsys.readouterr().err) == ["1", "2", "3"]


def test_recordings_are_not_judged_without_their_texts(voice: Any) -> None:
    with pytest.raises(UserError, match=r"together with a text.*judged by a run on the same data .* not given a text"):
        discriminator_scores.candidates(DOMAIN, voice.sampler.info)


def test_lines_of_a_file_become_recordings(voice: Any, tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("gold sun\n\n  kite. able!\n", encoding="utf-8-sig")
    found = said(voice, tmp_path / "made", text_file=[lines])
    assert [path.name for path in found.paths] == ["00000.wav", "00001.wav"]
    assert found.num == 2
    again = data.open_source(part(str(tmp_path / "made"), heldout=0.0), False)
    assert again.labels is not None
    assert texts.decoded(again.labels, again.alphabet) == ["gold sun", "kite able"]
    single = said(voice, tmp_path / "all.wav", text_file=[lines])
    assert single.num == 1
    whole = sum(map(seconds, found.paths)) + 0.25
    assert seconds(tmp_path / "all.wav") == pytest.approx(whole)


@pytest.mark.parametrize("out", ["made", "made.zip"])
def test_written_lines_are_a_corpus_to_train_on(voice: Any, tmp_path: Path, out: str) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("gold sun\n\n  kite. able!\n", encoding="utf-8")
    found = said(voice, tmp_path / out, text_file=[lines])
    assert found.num == 2
    again = data.open_source(part(str(tmp_path / out), heldout=0.0), False)
    assert again.condition_kind == "text"
    assert again.labels is not None
    assert texts.decoded(again.labels, again.alphabet) == ["gold sun", "kite able"]


def test_a_picture_shows_each_text_with_its_length(voice: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, drawn = media._write_name, list[tuple[str, tuple[int, int]]]()

    def note(brush: Any, name: str, place: tuple[int, int], *rest: Any) -> None:
        drawn.append((name, place))
        written(brush, name, place, *rest)

    monkeypatch.setattr(media, "_write_name", note)
    lines = tmp_path / "lines.txt"
    lines.write_text("gold sun\nkite\n" + "gold " * 60 + "\n", encoding="utf-8")
    found = said(voice, tmp_path / "sheet.png", text_file=[lines])
    assert found.paths == [tmp_path / "sheet.png"]
    height, width = media.text_tile()
    assert [place for _, place in drawn] == [(5, 5), (width + 5, 5), (5, height + 5)]
    said(voice, tmp_path / "kite.wav", text="kite")
    assert drawn[1][0] == f"{seconds(tmp_path / 'kite.wav'):.2f} s   kite"
    pixels = np.asarray(Image.open(tmp_path / "sheet.png").convert("L"))
    assert pixels.shape == (2 * height + media.FOOT, 2 * width)
    assert (pixels[5 : 5 + media.NAME, width - media.GAP // 2 : width] == 255).all()  # the long text was shortened
    drawn.clear()
    said(voice, tmp_path / "stored.png", num=3)
    assert all(re.fullmatch(r"\d\.\d\d s   [a-z ]+", name) for name, _ in drawn)
    assert len(drawn) == 3


def test_without_a_text_the_stored_ones_are_spoken(voice: Any, tmp_path: Path) -> None:
    found = said(voice, tmp_path / "examples", num=3)
    assert len(found.paths) == 3
    stored = texts.decoded(voice.sampler.examples.condition, voice.sampler.info.payload["alphabet"])
    assert (tmp_path / "examples" / "metadata.csv").read_text().startswith(f"00000|{stored[0]}\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"text": "route 66"}, r"does not know '6'.*numbers in words"),
        ({"text": " ... "}, "nothing to speak"),
        ({"text": "gold", "text_file": [Path("x")]}, "give one of them"),
        ({"text": "gold", "num": 4}, "leave --num out"),
        ({"text": "gold", "out": "x.jpg"}, "cannot write .jpg"),
        ({"text_file": [Path("missing.txt")]}, "cannot be read"),
        ({"text": "gold " * 50_000}, "at most 200,000 are spoken at once"),
        ({"text": "gold", "input": [Path("a.wav")]}, "--input needs a vocoder"),
        ({"input": [Path("a.wav")]}, "--input needs a vocoder"),
    ],
)
def test_what_cannot_be_spoken_is_told(voice: Any, tmp_path: Path, options: dict[str, Any], words: str) -> None:
    given = dict(options)
    out, num = tmp_path / given.pop("out", "x.wav"), given.pop("num", None)
    with pytest.raises(UserError, match=words):
        said(voice, out, num, **given)


def test_signs_that_a_voice_does_not_know_are_told(voice: Any, tmp_path: Path) -> None:
    found = said(voice, tmp_path / "x.wav", text="(gold) sun!")
    assert "'(', ')'" in found.notes[0]


def test_the_texts_of_a_corpus_are_not_overwritten(voice: Any, tmp_path: Path) -> None:
    for number, content in enumerate(("LJ001|gold\n", "no texts at all")):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "metadata.csv").write_text(content)
        with pytest.raises(UserError, match=r"metadata\.csv would be overwritten"):
            said(voice, folder, text="gold sun")
        assert [path.name for path in folder.iterdir()] == ["metadata.csv"]
        assert (folder / "metadata.csv").read_text() == content
    for text in ("gold sun", "kite"):  # its own are
        said(voice, tmp_path / "own", text=text)
    assert (tmp_path / "own" / "metadata.csv").read_text() == "00000|kite\n"
