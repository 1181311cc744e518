"""A run is watched while it is at work: the page is the report's, and follows the folder."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from visitor import Visitor, running

import browser
from zerosum.errors import UserError
from zerosum.lab.server import Served, serving
from zerosum.lab.settings import parse
from zerosum.lab.watch import page, version
from zerosum.lab.worker import Worker

STEPS = 30


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a run of images leaves: state, log, previews."""
    run = tmp_path / "runs" / "photos"
    (run / "previews").mkdir(parents=True)
    (run / "run.json").write_text(
        json.dumps({"format": 1, "name": "photos", "plan": "a plan", "source": {"name": "photos"}})
    )
    write_state(run, STEPS)
    log(run, *({"step": step, "kind": "train", "values": losses(step)} for step in range(1, STEPS + 1)))
    for step in (0, 10, 20, 30):
        preview(run, step)
    preview(run, None)
    return run


def losses(step: int) -> dict[str, float]:
    return {"discriminator/loss": 1.0 + step, "generator/loss": 2.0, "D(x)": 0.6, "D(G(z))": 0.4}


def write_state(run: Path, step: int) -> None:
    (run / "status.json").write_text(json.dumps({"state": "running", "step": step, "steps": 100, "seconds": step}))


def log(run: Path, *lines: dict[str, Any]) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def preview(run: Path, step: int | None) -> None:
    name = "real.png" if step is None else f"step-{step:08d}.png"
    Image.new("RGB", (96, 48), (7 * (step or 1) % 256, 90, 120)).save(run / "previews" / name)


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[Served]:
    with (
        serving(Worker(parse({"source": "normal", "g_width": 4, "d_width": 4})), 0, folder) as served,
        running(served),
    ):
        yield served


def test_what_is_no_run_folder_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run folder"), watched(tmp_path):
        pass


def test_the_version_changes_with_what_is_shown(folder: Path) -> None:
    first = version(folder)
    assert version(folder) == first
    log(folder, {"step": 31, "kind": "train", "values": losses(31)})
    second = version(folder)
    assert second["pictures"] == first["pictures"]
    assert second["log"] != first["log"]
    preview(folder, 40)
    third = version(folder)
    assert third["pictures"] != second["pictures"]
    (folder / "checkpoints").mkdir()
    (folder / "samples.png").write_bytes(b"")
    assert version(folder) == third


def test_the_page_is_the_report_with_one_more_script(folder: Path) -> None:
    text = page(folder)
    assert "photos" in text
    assert "api/version" in text
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    assert policy
    assert "default-src 'none'" in policy[1]
    assert "connect-src 'self'" in policy[1]
    assert "unsafe" not in policy[1]
    from zerosum.report import write_report

    report = write_report(folder).read_text()
    assert "connect-src" not in report
    assert "api/version" not in report


def test_the_server_leads_to_the_run_and_keeps_the_lab(folder: Path) -> None:
    with watched(folder) as served:
        visitor = Visitor(served)
        assert visitor.ask("GET", "/watch")[0] == 403
        visitor.enter()
        status, headers, _ = visitor.ask("GET", "/")
        assert (status, headers["location"]) == (303, "/watch")
        status, headers, body = visitor.ask("GET", "/watch")
        assert status == 200
        assert headers["content-type"].startswith("text/html")
        assert headers["content-security-policy"] == "frame-ancestors 'none'"  # the page brings its own for the rest
        assert b"photos" in body
        assert visitor.get("/api/version") == version(folder)
        assert visitor.ask("GET", "/lab")[0] == 200
        visitor.do("step")
        assert visitor.until(lambda frame: frame["step"] == 1)
        shutil.rmtree(folder)
        status, _, body = visitor.ask("GET", "/watch")
        assert status == 404
        assert b"There is no folder" in body


@pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing()))
def test_the_page_follows_the_folder_and_keeps_its_place(folder: Path, tmp_path: Path) -> None:
    with watched(folder) as served, browser.chromium(tmp_path / "profile", 1000, 500) as driver:
        driver.get(served.guard.address)
        read = lambda words: driver.execute_script(f"return {words}")  # noqa: E731

        def shows(num: int, index: int, step: int) -> bool:
            found = read("[times.length, Number(slider.value), times[Number(slider.value)].step]")
            return bool(found == [num, index, step])

        def held() -> bool:  # the page that was left is another one than the page that came
            return read("window.mark") is None and read("document.readyState") == "complete"

        browser.wait(lambda: "Watching this run" in read("document.body.innerText"), "the note")
        assert shows(4, 3, 30)

        driver.execute_script("window.mark = 1")
        preview(folder, 40)
        write_state(folder, 40)
        browser.wait(held, "the new preview")
        browser.wait(lambda: shows(5, 4, 40), "the newest step")  # it stood at the newest, so it follows

        driver.execute_script("window.mark = 1; seek(1); window.scrollTo(0, 300)")
        browser.wait(lambda: read("window.scrollY") == 300, "the scroll")
        preview(folder, 50)
        browser.wait(held, "another preview")
        browser.wait(lambda: shows(6, 1, 10), "the step that was looked at")
        browser.wait(lambda: read("window.scrollY") == 300, "the place on the page")
        assert browser.complaints(driver) == []
        assert browser.hosts(browser.requests(driver)) == {"127.0.0.1"}
