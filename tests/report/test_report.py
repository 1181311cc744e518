"""The report: numbers kept honest, strings made harmless, nothing loaded from elsewhere, gaps told in sentences."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import random
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from zerosum import domains
from zerosum.data.images.pictures import grid_metadata, save_grid
from zerosum.domains.audio import evaluator as sound_measures
from zerosum.domains.images import measures as image_measures
from zerosum.domains.medical import measures as scan_measures
from zerosum.domains.points import evaluator as shape_measures
from zerosum.domains.tables import scores as table_measures
from zerosum.domains.toy import measures as toy_measures
from zerosum.domains.video import evaluator as video_measures
from zerosum.errors import UserError
from zerosum.report import read_run, write_report
from zerosum.report.charts import charts_of, scores_of
from zerosum.report.previews import collect_pictures
from zerosum.report.questions import REST, headlines, question_of
from zerosum.report.verdict import verdict_of

NASTY = "</script><script>alert('x')</script>"


def save(path: Path, value: object) -> None:
    path.write_text(json.dumps(value))


class Page(HTMLParser):
    """Elements, ids, visible words and raw script and style of a page, as a browser would split them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        self.raw.get(self._inside, self.words).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.raw["script"][0])


def page_of(run: Path) -> Page:
    return Page(write_report(run).read_text(encoding="utf-8"))


def test_page_loads_nothing_from_elsewhere(folder: Path) -> None:
    page = page_of(folder)
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
    outside = [a["href"] for tag, a in page.tags if tag == "a" and not a["href"].startswith("#")]
    assert outside == ["https://arxiv.org/abs/1406.2661"]
    assert "http" not in "".join(page.raw["style"] + page.raw["script"][1:])
    assert not re.search(r"url\((?!#)|@import|fetch\(|XMLHttp", "".join(page.raw["style"] + page.raw["script"][1:]))


def test_policy_names_exactly_this_style_and_script(folder: Path) -> None:
    page = page_of(folder)
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for kind, text in (("style", page.raw["style"][0]), ("script", page.raw["script"][1])):
        mark = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{mark}'" in policy


def test_strings_of_the_folder_stay_words(folder: Path) -> None:
    page = page_of(folder)
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert page.text.count(NASTY) >= 4  # plan, class name, note, recipe value
    assert "<" not in page.raw["script"][0]
    line = next(chart for chart in page.data["charts"] if chart["key"] == "V")["references"]
    assert line == [{"value": -1.3863, "label": "-log 4 " + NASTY}]


def test_page_ids_are_unique_and_links_lead_somewhere(folder: Path) -> None:
    page = page_of(folder)
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for tag, a in page.tags if tag == "a" and a["href"].startswith("#")} <= set(ids)


def test_previews_are_the_files_themselves(folder: Path) -> None:
    page = page_of(folder)
    assert [frame["step"] for frame in page.data["frames"]] == [0, 100, 300]
    assert [frame["samples"] for frame in page.data["frames"]] == [None, 800, 2400]
    assert page.data["frames"][2]["src"] is None  # the page shows it: it is not embedded twice
    sent = base64.b64decode(page.data["frames"][1]["src"].removeprefix("data:image/png;base64,"))
    assert sent == (folder / "previews" / "step-00000100.png").read_bytes()
    pictures = [a for tag, a in page.tags if tag == "img"]
    assert [(a["alt"], a["width"], a["class"]) for a in pictures] == [
        ("Generated samples at step 300", "16", "tiny"),
        ("Real samples", "16", "tiny"),
    ]


def test_many_or_heavy_previews_are_thinned_and_said(folder: Path) -> None:
    first = folder / "previews" / "step-00000000.png"
    for step in range(1, 101):
        (folder / "previews" / f"step-{step:08d}.png").write_bytes(first.read_bytes())
    gallery = collect_pictures(folder)
    assert (len(gallery.fakes), gallery.fakes[0].step, gallery.fakes[-1].step) == (40, 0, 300)
    assert gallery.notes == ["40 of 102 previews are shown, evenly selected; all are in previews/."]
    light = collect_pictures(folder, most_bytes=22 * len(gallery.fakes[0].address))
    assert 12 <= len(light.fakes) <= 20
    assert light.fakes[-1].step == 300
    assert all(picture.address.startswith("data:image/png") for picture in light.fakes)


def noise(path: Path, side: int, seed: int) -> None:
    """A picture that cannot be packed."""
    Image.frombytes("RGB", (side, side), random.Random(seed).randbytes(3 * side * side)).save(path)


def test_a_page_has_at_most_three_million_bytes(folder: Path) -> None:
    """Heavy pictures become smaller copies, shown at their own size; many long curves are drawn with fewer points."""
    for step in range(14):
        noise(folder / "previews" / f"step-{step:08d}.png", 420, step)
    (folder / "baselines").mkdir()
    noise(folder / "baselines" / "normal.png", 420, 99)
    save(folder / "baselines.json", {"baselines": [{"name": "normal", "summary": "a normal", "picture": "normal.png"}]})
    with (folder / "metrics.jsonl").open("a") as log:
        for step in range(1, 900):
            values = {f"term{index}": math.sin(step * index) for index in range(110)}
            log.write(json.dumps({"step": step, "kind": "train", "values": values}) + "\n")
    text = write_report(folder).read_text(encoding="utf-8")
    assert 1_000_000 < len(text.encode()) <= 3_000_000
    page = Page(text)
    assert len(page.data["frames"]) == 12
    copies = [a for tag, a in page.tags if tag == "img" and a["src"].startswith("data:image/webp;base64,")]
    assert [(a["width"], a["height"]) for a in copies if "normal" in a["alt"]] == [("420", "420")]
    assert "The pictures are smaller copies" in page.text
    assert max(len(curve["points"]) for chart in page.data["charts"] for curve in chart["curves"]) < 400


def test_a_picture_that_cannot_be_made_smaller_is_left_out(folder: Path) -> None:
    whole = folder / "previews" / "step-00000200.png"
    noise(whole, 420, 1)
    whole.write_bytes(whole.read_bytes()[:200_000])
    gallery = collect_pictures(folder, most_bytes=100_000)
    assert [one.step for one in gallery.fakes] == [0, 100, 300]
    assert "step-00000200.png cannot be made smaller" in gallery.notes[-2]


def test_a_grid_says_how_many_samples_it_holds(folder: Path) -> None:
    """A narrow screen shows the first four columns and rows of it, larger."""
    newest = folder / "previews" / "step-00000300.png"
    save_grid(torch.zeros(20, 1, 8, 8), 10, newest)
    page = page_of(folder)
    buttons = [a for tag, a in page.tags if tag == "button" and a.get("class") == "enlarge"]
    assert [(a.get("data-columns"), a.get("data-rows")) for a in buttons] == [("10", "2"), (None, None)]
    assert "8 of 20 samples; tap to see all" in page.text


RECORDS = [
    {"name": "frechet[c,n=1000]", "value": 1.5, "better": "lower", "meaning": "A distance.", "reference": None},
    {"name": "frechet[c,n=179]", "value": 17.5, "better": "lower", "meaning": "A distance.", "reference": 31.25},
    {
        "name": "frechet_infinity[c,n=1000]",
        "value": -1.25,
        "better": "lower",
        "meaning": "The limit.",
        "reference": 0.0,
    },
    {"name": "recall[c,n=1000]", "value": 0.75, "better": "higher", "meaning": "Variety.", "reference": None},
    {"name": "coverage[c,n=1000]", "value": 0.5, "better": "higher", "meaning": "Variety.", "reference": None},
    {"name": "copy_rate[p,n=1000]", "value": 0.125, "better": "near 0.01", "meaning": "Copies.", "reference": 0.01},
    {"name": "discriminator_fakes[n=1000]", "value": 0.625, "better": "near 0.5", "meaning": "D.", "reference": None},
    {"name": "parzen[n=10000]", "value": 225.0, "better": "historic", "meaning": "Old.", "reference": None},
]


def test_five_numbers_come_first_and_the_rest_is_folded_by_question(folder: Path) -> None:
    with (folder / "metrics.jsonl").open("a") as log:
        for step in (299, 300):
            log.write(json.dumps({"step": step, "kind": "evaluation", "records": RECORDS}) + "\n")
    text = write_report(folder).read_text(encoding="utf-8")
    page = Page(text)
    first = text[text.index('<dl class="tiles first">') : text.index('<section class="stage"')]
    tiles = re.findall(r"<dt>(?:<a [^>]*>)?([^<]*).*?<dd>([^<]*)<small>([^<]*)", first)
    assert tiles == [
        ("Is it real?", "17.5", "Fréchet, n=179"),
        ("Is it varied?", "0.5", "of the reals have a sample nearby"),
        ("Does it copy?", "0.125", "of the samples are close to a training sample"),
        ("Does D win?", "0.625", "of the fakes, D calls fake"),
        ("Time", "1 min 15 s", "on cpu"),
    ]
    folded = [a["id"] for tag, a in page.tags if tag == "details" and a.get("class") == "question"]
    assert folded == [f"measures-{key}" for key in ("real", "varied", "copies", "wins", "rest")]
    assert not [a for tag, a in page.tags if tag == "details" and "open" in a]
    real = text[text.index('id="measures-real"') : text.index('id="measures-varied"')]
    assert real.count('<th scope="row">') == 1  # one row for all Fréchet distances
    assert "Fréchet infinity [c,n=1000]" in real
    drawn = [chart["title"] for chart in page.data["charts"] if chart["place"] == "real"]
    assert drawn == ["Fréchet"]
    order = [
        text.index(f'<section id="{name}"') for name in ("health", "curves", "scores", "measures", "recipe", "next")
    ]
    assert order == sorted(order)


def test_numbers_of_the_health_checks_stand_in_for_what_was_not_measured(folder: Path) -> None:
    line = {"step": 300, "kind": "health", "values": {"diversity": 0.75, "accuracy/fake": 0.875}, "findings": []}
    with (folder / "metrics.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")
    found = [(question.key, record["value"]) for question, record in headlines(read_run(folder))]
    assert found == [("varied", 0.75), ("wins", 0.875)]


def test_every_measure_answers_a_question() -> None:
    """Names as the domains' evaluators give them; the scores of old papers alone answer none."""
    names = [*toy_measures.MEANINGS, *table_measures.MEANINGS, *shape_measures.MEANINGS, *image_measures.NEIGHBOURS]
    names += [*sound_measures.MEANINGS, *video_measures.MEANINGS, "psnr_y", "gradient_energy", "colour_shift"]
    for dims in (2, 3):
        names += scan_measures.table(torch.rand(2, 1, *[16] * dims), (0.0, 1.0), "units", 0)
    source = "".join(path.read_text() for path in Path(domains.__path__[0]).rglob("*.py"))
    names += re.findall(r'Record\(\s*f?"([A-Za-z_0-9]+)["\[]', source)
    assert len(names) >= 40
    assert [name for name in names if question_of(name) is REST] == []


def test_charts_group_terms_and_draw_reference_lines(folder: Path) -> None:
    charts = {chart["key"]: chart for chart in charts_of(read_run(folder))}
    assert list(charts) == ["loss", "V", "D", "gradient_norm", "r1", "lr", "diversity"]
    assert [curve["label"] for curve in charts["loss"]["curves"]] == ["discriminator", "generator"]
    assert charts["loss"]["curves"][0]["points"][-1] == [300, 301.0, 301.0, 301.0]
    assert charts["D"]["references"] == [{"value": 0.5, "label": "1/2: D cannot separate them"}]
    assert charts["gradient_norm"]["log"]
    assert not charts["loss"]["log"]


def test_values_that_are_not_finite_are_counted_not_drawn(folder: Path) -> None:
    with (folder / "metrics.jsonl").open("a") as log:
        log.write('{"step": 301, "kind": "train", "values": {"V": NaN}}\n')
        log.write('{"step": 302, "kind": "train", "values": {"V": -Infinity}}\n')
    page = page_of(folder)
    chart = next(chart for chart in page.data["charts"] if chart["key"] == "V")
    assert chart["curves"][0]["points"][-1][0] == 300
    assert "2 values were not finite" in page.text


def test_scores_become_shares(folder: Path) -> None:
    (row,) = scores_of(read_run(folder))
    assert (row["train"], row["heldout"], row["fake"]) == ([0.25, 0.75], [0.5, 0.5], [1.0, 0.0])


def test_a_resumed_run_counts_a_step_once_and_the_later_line_wins(folder: Path) -> None:
    with (folder / "metrics.jsonl").open("a") as log:
        log.write('{"step": 300, "kind": "train", "values": {"V": -0.25}}\n')
    rows = read_run(folder).rows["train"]
    assert [row["step"] for row in rows] == list(range(1, 301))
    assert rows[-1]["values"] == {"V": -0.25}


def test_a_log_cut_short_is_told_and_survived(folder: Path) -> None:
    with (folder / "metrics.jsonl").open("ab") as log:
        log.write(b'{"step": 301, "kind": "tr\xff')
    page = page_of(folder)
    assert "1 unreadable line left out (line 305)" in page.text
    assert len(page.data["charts"]) == 7


def test_verdict_puts_the_gravest_first_and_speaks(folder: Path) -> None:
    run = read_run(folder)
    verdict = verdict_of(run)
    assert verdict.level == "alarm"
    assert verdict.headline == "Collapse and 1 more finding"
    assert verdict.sentence == "Fakes look alike. 1 of 3 checks passed."
    run.status["state"], run.status["message"] = "failed", "Loss of G is not finite at step 7."
    assert verdict_of(run) == ("alarm", "The run failed", "Loss of G is not finite at step 7.")


def test_page_shows_metrics_health_recipe_and_commands(folder: Path) -> None:
    text = page_of(folder).text
    for words in (
        "Fréchet digits 6.25 lower is better 3.5",
        "num_fake 2000",
        "Alarm",
        "Advice Add R1.",
        "Collapse ✕ Alarm at step 1: Fakes look alike.",
        "loss.name",
        f"zerosum resume {folder} --steps 600",
        f"zerosum sample {folder} --num 64",
        "1 min 15 s",
        "30 passes over the data",
    ):
        assert words in text


def test_the_badge_of_a_run_at_work_shows_the_newest_step_of_its_log(folder: Path) -> None:
    save(folder / "status.json", {"state": "running", "step": 100, "steps": 900})
    assert "digits running at step 300" in page_of(folder).text
    save(folder / "status.json", {"state": "stopped", "step": 100, "steps": 900})
    assert "digits stopped at step 100" in page_of(folder).text


def test_commands_quote_a_folder_with_spaces(tmp_path: Path) -> None:
    run = tmp_path / "my digits"
    run.mkdir()
    save(run / "run.json", {"format": 1})
    assert f"zerosum sample '{run}' --num 64" in page_of(run).text


def test_a_bare_run_says_what_is_missing(tmp_path: Path) -> None:
    save(tmp_path / "run.json", {"format": 1, "name": "bare"})
    (tmp_path / "status.json").write_text("{broken")
    page = page_of(tmp_path)
    for words in (
        "recipe.json is missing",
        "status.json cannot be read",
        "metrics.jsonl is missing",
        "previews/ is missing",
    ):
        assert words in page.text
    assert "No metrics were computed yet" in page.text
    assert not [tag for tag, _ in page.tags if tag in ("img", "input")]


def test_odd_values_do_not_break_the_page(folder: Path) -> None:
    save(folder / "run.json", {"format": 1, "name": None, "source": [], "num_parameters": {"generator": "many"}})
    save(folder / "status.json", {"state": "running", "step": "x", "seconds": None})
    (folder / "previews" / "step-00000200.png").write_bytes(b"not a picture")
    odd = [
        {"step": 5, "kind": "evaluation", "records": [{"value": "x"}, 3]},
        {"step": 6, "kind": "scores", "train": [1], "edges": [0, None]},
        {"step": 7, "kind": "health", "findings": ["?", {"level": "new", "title": "T"}], "values": {"a": True}},
        {"step": None, "kind": "train"},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in odd) + "[1]\n")
    page = page_of(folder)
    text = page.text
    assert page.data["scores"] == []
    assert "step-00000200.png is not a complete PNG picture" in text
    assert "4 unreadable lines left out (line 1, 3, 4, 5)" in text


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_no_run_folder_is_explained(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"A run folder is written by `zerosum train`"):
        write_report(tmp_path / name)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "run.json", {"format": 2, "zerosum": "9.0"})
    with pytest.raises(UserError, match=r"run format 2; this version of zerosum reads format 1.*zerosum 9\.0"):
        write_report(tmp_path)


def test_target_is_written_whole_or_not_at_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = folder.parent / "show" / "page.html"
    assert write_report(folder, target) == target
    before = target.read_bytes()

    def full(source: object, goal: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_report(folder, target)
    assert target.read_bytes() == before
    assert [path.name for path in target.parent.iterdir()] == ["page.html"]


def test_a_folder_as_target_and_the_default(folder: Path, tmp_path: Path) -> None:
    assert write_report(folder) == folder / "report.html"
    assert write_report(folder, tmp_path) == tmp_path / "report.html"


def test_report_needs_no_torch() -> None:
    code = "import sys, zerosum.report; print([n for n in ('torch', 'numpy', 'PIL') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_large_pictures_get_the_full_width(folder: Path) -> None:
    assert 'class="pictures"' in write_report(folder).read_text()
    Image.new("L", (1000, 9)).save(folder / "previews" / "step-00000300.png")
    assert 'class="pictures sheets"' in write_report(folder).read_text()
    for name in ("step-00000300", "real"):
        Image.new("L", (1000, 900)).save(folder / "previews" / f"{name}.png", pnginfo=grid_metadata(5, 6))
    assert 'class="pictures halves"' in write_report(folder).read_text()
    (folder / "previews" / "step-00000300.wav").write_bytes(bytes(300))
    assert 'class="pictures sheets"' in write_report(folder).read_text()


OK = {"level": "ok", "title": "Healthy", "sentence": "The fakes are varied.", "evidence": "", "advice": ""}
SURE = {
    "level": "warning",
    "title": "Overpowering discriminator",
    "sentence": "It is sure.",
    "evidence": "",
    "advice": "",
}
EARLY = {"level": "none", "title": "Not judged", "sentence": "Judged from step 200 on.", "evidence": "", "advice": ""}


@pytest.mark.parametrize(
    ("looked", "measured", "at", "expected"),
    [
        ([OK], [SURE], 300, ("warning", "Overpowering discriminator", "It is sure.")),  # the page is at one with itself
        ([OK], [SURE], 100, ("ok", "Healthy", "The fakes are varied.")),  # an evaluation of earlier
        ([SURE], [SURE], 300, ("warning", "Overpowering discriminator", "It is sure.")),
        ([OK], [], 300, ("ok", "Healthy", "The fakes are varied.")),
        ([EARLY], [], 300, ("none", "Not judged", "Judged from step 200 on.")),
    ],
)
def test_the_verdict_knows_the_health_and_the_measures(
    looked: list[dict[str, str]], measured: list[dict[str, str]], at: int, expected: tuple[str, str, str], folder: Path
) -> None:
    lines = [
        {"step": 300, "kind": "health", "values": {}, "findings": looked},
        {"step": at, "kind": "evaluation", "records": [], "findings": measured},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert verdict_of(read_run(folder)) == expected
    assert expected[1] in page_of(folder).text


def test_a_finished_run_without_checks_does_not_say_yet(folder: Path) -> None:
    (folder / "metrics.jsonl").write_text("")
    assert verdict_of(read_run(folder)).headline == "No health checks"
    save(folder / "status.json", {"state": "running", "step": 3, "steps": 300})
    assert verdict_of(read_run(folder)).headline == "No health checks yet"


def test_controls_stand_beside_the_measures_and_doubts_in_their_place(folder: Path) -> None:
    record = {"name": "precision[random,n=39]", "value": 0.79, "better": "higher", "meaning": "M.", "reference": 0.5}
    sure = record | {"name": "frechet[random,n=39]", "protocol": {"controls": {"stripes": 123.4}}}
    doubtful = record | {
        "value": 0.913,
        "protocol": {"controls": {"stripes": 0.85}, "cannot_judge": "39 real images are too few."},
    }
    line = {"step": 300, "kind": "evaluation", "records": [sure, doubtful]}
    with (folder / "metrics.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")
    page = page_of(folder).text
    assert "stripes: 123" in page
    assert "stripes: 0.85" in page
    assert page.count("cannot judge") == 1
    assert page.index("cannot judge") < page.index("0.913")


def test_sounds_are_thinned_where_they_are_too_large_for_the_page(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (0, 100, 300):
        (folder / "previews" / f"step-{step:08d}.wav").write_bytes(bytes(300))
    (folder / "previews" / "real.wav").write_bytes(bytes(300))
    assert sorted(collect_pictures(folder).sounds) == [0, 100, 300]
    monkeypatch.setattr("zerosum.report.previews.SOUND_BYTES", 1400)
    gallery = collect_pictures(folder)
    assert (sorted(gallery.sounds), list(gallery.named_sounds)) == ([0, 300], ["real"])
    assert gallery.notes == ["The sounds of 2 of 3 previews are on the page; all are in previews/."]
    monkeypatch.setattr("zerosum.report.previews.SOUND_BYTES", 500)
    gallery = collect_pictures(folder)
    assert (gallery.sounds, list(gallery.named_sounds)) == ({}, ["real"])
    assert gallery.notes == ["The sounds are too large for the page; they are in the run folder."]
