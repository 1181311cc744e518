"""The page: one HTML file that contains its style, script, pictures and numbers and makes no requests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

from zerosum.errors import UserError
from zerosum.formatting import format_number
from zerosum.report.charts import LIMIT, charts_of, scores_of
from zerosum.report.markup import badge, embedded_json, policy_hash, text
from zerosum.report.measures import facts, metrics_section, tiles
from zerosum.report.previews import Gallery, Picture, collect_pictures, film, picture_button, player
from zerosum.report.read import Json, RunContents, as_dict, number, read_run
from zerosum.report.sections import baselines_section, data_section, next_section, recipe_section
from zerosum.report.verdict import health_section, verdict_of

LOGO = (
    '<svg class="logo" viewBox="0 0 24 24" aria-hidden="true"><circle cx="12" cy="12" r="10.5"/>'
    '<path d="M12 1.5a10.5 10.5 0 0 1 0 21z"/></svg>'
)


MOST_BYTES, FOR_NOTES = 3_000_000, 20_000
"""The most bytes of a page without its sounds, and the bytes reserved for notes on its pictures."""


def write_report(folder: Path, target: Path | None = None) -> Path:
    """Write the report of a run folder and return its path: `target`, or report.html in the folder.

    If `target` is a folder, report.html is written there. The file is written atomically. Raises UserError if `folder` is not
    a run folder or the file cannot be written.
    """
    page = compose(folder)
    path = folder / "report.html" if target is None else target
    path = path / "report.html" if path.is_dir() else path
    try:
        _write_whole(path, page)
    except OSError as error:
        raise UserError(
            f"The report cannot be written to {path}: {error.strerror or error}. Free space or give another target."
        ) from None
    return path


def _write_whole(path: Path, page: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(page)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)  # mkstemp makes the file private
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def compose(path: Path, more: str = "", most_bytes: int = MOST_BYTES) -> str:
    """The page of a run folder as it is now, of at most `most_bytes` and the sounds. Long curves are drawn with fewer points, and
    many or large pictures are thinned or shown as smaller copies.

    more: a script of the server of the page, which may call that server.
    """
    folder = read_run(path)
    for limit in (LIMIT, LIMIT // 2, LIMIT // 4, LIMIT // 8, LIMIT // 16):
        bare = len(render_page(folder, Gallery(), more, limit).encode())
        if bare <= most_bytes // 2:
            break
    gallery = collect_pictures(path, most_bytes=most_bytes - bare - FOR_NOTES)
    return render_page(folder, gallery, more, limit)


def render_page(folder: RunContents, gallery: Gallery, more: str = "", limit: int = LIMIT) -> str:
    """The whole HTML text of the page. more: as for `compose`. limit: points of a curve at most."""
    style, script = _asset("page.css"), _asset("charts.js") + _asset("page.js") + more
    charts, scores = charts_of(folder, limit), scores_of(folder)
    samples = {int(row["step"]): number(row.get("samples")) for row in folder.rows.get("train", [])}
    frames: list[Json] = [
        {"step": one.step, "src": one.address, "samples": samples.get(one.step or 0)} for one in gallery.fakes
    ]
    heard = [frame for frame in frames if frame["step"] in gallery.sounds]
    for frame in heard:
        frame["sound"] = gallery.sounds[frame["step"]]
    # The newest are in the page already.
    for kind, newest in (("src", frames[-1:]), ("sound", heard[-1:])):
        for frame in newest:
            frame[kind] = None
    frames += [{"step": step, "html": shown, "samples": samples.get(step)} for step, shown in gallery.elements]
    data = {"charts": charts, "scores": scores, "frames": frames}
    body = "".join(_body(folder, gallery, charts, scores, limit))
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(style, script, bool(more))}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>{text(folder.run.get('name', 'run'))} · zerosum report</title><style>{style}</style></head>"
        f'<body>{body}<script type="application/json" id="report-data">{embedded_json(data)}</script>'
        f"<script>{script}</script></body></html>\n"
    )


def _asset(name: str) -> str:
    return files("zerosum.report").joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, script: str, served: bool) -> str:
    """Allows only this page's own style and script, and pictures, sound and films in data: addresses."""
    own = "connect-src 'self'; " if served else ""
    return (
        f"default-src 'none'; img-src data:; media-src data:; "
        f"style-src {policy_hash(style)}; script-src {policy_hash(script)}; "
        f"{own}base-uri 'none'; form-action 'none'"
    )


def _body(folder: RunContents, gallery: Gallery, charts: list[Json], scores: list[Json], limit: int) -> Iterable[str]:
    figures = {place: _figures(charts, place) for place in {chart["place"] for chart in charts}}
    yield '<a class="skip" href="#top">Skip to the samples</a>'
    yield _header(folder)
    yield '<main id="top" tabindex="-1">'
    yield tiles(folder)
    yield _stage(gallery, scores)
    yield facts(folder)
    notes = "".join(f"<li>{text(note)}</li>" for note in [*folder.notes, *gallery.notes])
    yield f'<ul class="notes" aria-label="Notes">{notes}</ul>' if notes else ""
    yield _section("Health", health_section(folder))
    yield _section("Curves", _charts(charts, limit))
    yield _section("Scores", _heat(scores), "D's scores over time")
    yield _section("Measures", metrics_section(folder, figures))
    yield _section("Baselines", baselines_section(folder, gallery)) if folder.baselines else ""
    yield _section("Recipe", recipe_section(folder))
    yield _section("Data", data_section(folder))
    yield _section("Next", next_section(folder), "What to do next")
    yield "</main><footer>Written by zerosum from the files of the run folder. "
    yield "This page makes no requests.</footer>"


def _header(folder: RunContents) -> str:
    run, verdict = folder.run, verdict_of(folder)
    state = str(folder.status.get("state", "unknown state"))
    step = number(folder.status.get("step"))
    if step is not None and state == "running":  # the log is newer than the state, which is written at checkpoints only
        step = max(step, *(number(row.get("step")) or 0 for row in (folder.last("train"), folder.last("health"))))
    where = f" at step {format_number(step)}" if step is not None and state != "finished" else ""
    plan = run.get("plan") or as_dict(run.get("source")).get("summary", "")
    recipe = f" · recipe {text(folder.recipe['name'])}" if folder.recipe.get("name") else ""
    fitted = ("Baselines",) if folder.baselines else ()
    links = "".join(
        f'<a href="#{name.lower()}">{name}</a>'
        for name in ("Health", "Curves", "Scores", "Measures", *fitted, "Recipe", "Data", "Next")
    )
    sign = badge(verdict.level) if verdict.level != "none" else ""
    name = f'{text(run.get("name", "Unnamed run"))} <span class="state">{text(state)}{where}</span>'
    words = f"<b>{text(verdict.headline.rstrip('.'))}.</b> {text(verdict.sentence)}"
    return (
        f'<header><div class="bar"><p class="brand">{LOGO} zerosum{recipe}</p>'
        f'<nav aria-label="Sections">{links}</nav></div><h1>{name}</h1><p class="plan">{text(plan)}</p>'
        f'<p class="verdict level-{verdict.level}">{sign}<span>{words}</span></p></header>'
    )


def _stage(gallery: Gallery, scores: list[Json]) -> str:
    """Samples, reals and D's scores side by side, with one slider for the step."""
    fake = gallery.fakes[-1] if gallery.fakes else None
    count = len(gallery.fakes) or len(gallery.elements) or len(scores)
    control = (
        '<div class="control"><button type="button" id="play">Play</button>'
        f'<input type="range" id="slider" min="0" max="{count - 1}" value="{count - 1}" '
        'aria-label="Step of the run shown"><output id="when" for="slider"></output></div>'
    )
    belief = (
        '<figure class="belief" hidden><figcaption>D\'s scores at this step</figcaption>'
        '<div class="plot"></div><div class="legend"></div></figure>'
    )
    label = f"Generated at step {fake.step:,}" if fake and count == 1 else "Generated"
    pictures = _picture(
        label, fake, "fake", gallery.elements[-1][1] if gallery.elements else "", list(gallery.sounds.values())[-1:]
    )
    pictures += _picture(
        "Real",
        gallery.real,
        "real",
        gallery.real_element,
        [one for n, one in gallery.named_sounds.items() if n == "real"],
    )
    large = [one for one in (fake, gallery.real) if one and one.sheet]
    # Half of the page is too narrow for the names on a sheet of sounds.
    beside = not gallery.sounds and all(one.columns and one.width <= 2 * one.height for one in large)
    wide = "" if not large else " halves" if beside else " sheets"
    return (
        '<section class="stage" aria-label="Samples over time">'
        f'<div class="pictures{wide}">{pictures}{belief if scores else ""}</div>{control if count > 1 else ""}'
        "<noscript><p>Slider and charts need scripts; pictures, tables and words do not.</p></noscript></section>"
    )


def _picture(label: str, picture: Picture | None, kind: str, element: str = "", sounds: Sequence[str] = ()) -> str:
    if element:
        return f'<figure><figcaption>{label}</figcaption><div id="{kind}-element">{element}</div></figure>'
    if picture is None:
        missing = "No samples were drawn yet." if kind == "fake" else "No real samples were saved."
        return f'<figure><figcaption>{label}</figcaption><p class="empty">{missing}</p></figure>'
    what = f"Generated samples at step {picture.step:,}" if picture.step is not None else "Real samples"
    heard = "".join(player(sound, f"Sound: {what[:1].lower()}{what[1:]}", kind) for sound in sounds)
    moving = film(picture, f"Clips, playing: {what[:1].lower()}{what[1:]}", kind)
    return f"<figure><figcaption>{label}</figcaption>{moving}{picture_button(picture, what, kind)}{heard}</figure>"


def _section(name: str, body: str, title: str | None = None) -> str:
    return f'<section id="{name.lower()}"><h2>{title or name}</h2>{body}</section>'


def _charts(charts: list[Json], limit: int) -> str:
    main, more = _figures(charts, "main"), _figures(charts, "more")
    if not main and not more:
        return '<p class="empty">No curves were logged yet.</p>'
    hint = (
        "To read values, point at a chart, or focus it and use the arrow keys. "
        "The grey line marks the step of the samples shown at the top."
    )
    if any(len(curve["points"]) == limit for chart in charts for curve in chart["curves"]):
        hint += (
            f" Long series are drawn as {limit} points: each the mean of neighbouring logged values, "
            "with a band from the lowest to the highest of them (its rarest peaks may leave the frame)."
        )
    if more:
        titles = ", ".join(chart["title"] for chart in charts if chart["place"] == "more")
        more = f'<details class="more"><summary>More curves: {text(titles)}</summary>{more}</details>'
    return f'<p class="lead">{hint}</p>{main}{more}'


def _figures(charts: list[Json], place: str) -> str:
    """The figures of all charts of that place."""
    figures = "".join(
        f'<figure class="chart" data-chart="{index}"><figcaption><b>{text(chart["title"])}</b></figcaption>'
        f'<div class="plot"></div><div class="legend"></div><p class="small">{text(chart["caption"])}</p></figure>'
        for index, chart in enumerate(charts)
        if chart["place"] == place
    )
    return f'<div class="charts">{figures}</div>' if figures else ""


def _heat(scores: list[Json]) -> str:
    if not scores:
        return '<p class="empty">No scores of the discriminator were logged.</p>'
    names = {"train": "Training reals", "heldout": "Held-out reals", "fake": "Fakes"}
    present = [name for name in names if any(name in row for row in scores)]
    maps = "".join(
        f'<figure class="heat" data-group="{name}"><figcaption><b>{names[name]}</b></figcaption>'
        '<div class="plot"></div></figure>'
        for name in present
    )
    return (
        '<p class="lead">D\'s scores of each group, from 0 (certainly fake, bottom) to 1 (certainly real, top); '
        "stronger colour means more samples. "
        "Fakes that rise to the middle: G improves. Training reals above held-out reals: D memorises.</p>"
        f'<div class="charts thirds">{maps}</div>'
    )
