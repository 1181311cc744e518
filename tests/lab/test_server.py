"""The lab's server as a browser and a stranger meet it: over real sockets, on a free port."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image
from visitor import Visitor, running

from zerosum.errors import UserError
from zerosum.lab import recordings
from zerosum.lab.lab_game import LabGame
from zerosum.lab.recordings import MOST, Recorder
from zerosum.lab.server import Served, open_socket, serving
from zerosum.lab.settings import parse
from zerosum.lab.worker import Worker

SMALL = {"source": "mixture", "g_width": 8, "d_width": 8, "batch": 16}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(Worker(parse(SMALL))) as made, running(made):
        yield made


@pytest.fixture(scope="module")
def browser(served: Served) -> Visitor:
    made = Visitor(served)
    made.enter()
    return made


# --- who may come in


def test_the_address_is_good_once_and_nothing_is_told_without_the_cookie(browser: Visitor, served: Served) -> None:
    stranger = Visitor(served)
    stranger.address = browser.address  # what the terminal showed
    assert stranger.ask("GET", browser.address.split(browser.host)[1])[0] == 403
    for path in ("/", "/?token=None", "/?token=", "/api/choices", "/api/events", "/static/lab.html"):
        status, headers, body = stranger.ask("GET", path)
        assert status == 403, path
        assert b"zerosum lab" in body
        assert "default-src 'none'" in headers["content-security-policy"]
    stranger.headers["Cookie"] = f"zerosum_lab_{browser.port}=guess"
    assert stranger.ask("GET", "/api/choices")[0] == 403
    assert stranger.ask("POST", "/api/do", {"action": "step"}, origin=f"http://{browser.host}")[0] == 403


def test_other_names_of_the_host_are_refused(browser: Visitor) -> None:
    for host in ("evil.example", f"evil.example:{browser.port}", "127.0.0.1", f"127.0.0.1:{browser.port + 1}"):
        assert browser.ask("GET", "/api/choices", host=host)[0] == 400
    assert browser.ask("GET", "/api/choices", host=f"localhost:{browser.port}")[0] == 200


def test_commands_of_other_origins_are_refused(browser: Visitor) -> None:
    step = browser.until(lambda frame: True)["step"]
    for origin in (
        {},
        {"origin": "http://evil.example"},
        {"origin": f"http://127.0.0.1:{browser.port + 1}"},
        {"origin": "null"},
    ):
        assert browser.ask("POST", "/api/do", {"action": "step"}, **origin)[0] == 403
    assert browser.until(lambda frame: True)["step"] == step


def test_every_answer_carries_the_policy_and_only_static_files_are_served(browser: Visitor) -> None:
    for path in ("/", "/static/lab.css", "/static/lab.js", "/api/choices", "/api/log"):
        status, headers, _ = browser.ask("GET", path)
        assert status == 200
        policy = headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
    assert browser.ask("GET", "/static/lab.css")[1]["content-type"].startswith("text/css")
    for path in (
        "/static/..%2fserver.py",
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/none.js",
        "/nowhere",
    ):
        assert browser.ask("GET", path)[0] == 404


# --- the game


def test_choices_fit_what_a_new_game_takes(browser: Visitor) -> None:
    found = browser.get("/api/choices")
    assert {"ring", "normal", "drawn"} <= {source["name"] for source in found["sources"]}
    assert all(source["num_dims"] in (1, 2) for source in found["sources"] if source["name"] != "drawn")
    assert {row["name"] for row in found["penalties"]} >= {"none", "r1", "r1+r2"}
    assert next(row for row in found["penalties"] if row["name"] == "gradient_penalty")["weight"] == 10.0
    assert parse(found["defaults"]).model_dump() == found["defaults"]
    assert parse(found["dirac_defaults"]).model_dump() == found["dirac_defaults"]
    assert found["limits"]["k"] == [1, 20]
    assert len(found["stages"]["generator"]) == 5
    for name in ("losses", "optimizers", "activations"):
        assert found[name]
        assert all(row["name"] for row in found[name])


def test_a_game_is_begun_played_changed_and_come_back_to(browser: Visitor) -> None:
    status, made = browser.post("/api/new", SMALL | {"seed": 3})
    assert status == 200
    assert made["settings"] == parse(SMALL | {"seed": 3}).model_dump()
    first = browser.until(lambda frame: frame["settings"]["seed"] == 3)
    assert (first["step"], first["playing"], first["rewind"]) == (0, False, {"first": 0, "last": 0})
    browser.do("speed", speed=7)
    browser.do("play")
    playing = browser.until(lambda frame: frame["playing"] and frame["step"] >= 30)
    assert playing["speed"] == 7
    browser.do("pause")
    paused = browser.until(lambda frame: not frame["playing"])
    assert browser.post("/api/change", {"lr_g": 0.002, "k": 2})[0] == 200
    for action, turn in (
        ("discriminator", "discriminator"),
        ("generator", "generator"),
        ("step", "both"),
        ("turn", "discriminator"),
    ):
        browser.do(action)
        frame = browser.until(lambda frame, turn=turn: frame["turn"] == turn)
    assert frame["step"] == paused["step"] + 4
    assert (frame["settings"]["lr_g"], frame["settings"]["k"]) == (0.002, 2)
    log = browser.get("/api/log")
    assert log["changes"] == [
        {"step": paused["step"], "name": "k", "value": 2},
        {"step": paused["step"], "name": "lr_g", "value": 0.002},
    ]
    assert log["moves"][0][0] == "step"
    assert sum(count for _, count in log["moves"]) == frame["step"]

    browser.do("rewind", to=5)
    back = browser.until(lambda frame: frame["step"] == 5)
    assert back["rewind"]["last"] == frame["step"]
    assert back["settings"]["k"] == 1
    history = browser.get("/api/history")["points"]
    assert [point["step"] for point in history] == sorted(point["step"] for point in history)
    assert any("js" in point for point in history)

    # The same log, played by the library and by the server, gives the same picture.
    assert browser.post("/api/replay", log) == (200, {"ok": True})
    again = browser.until(lambda one: one["step"] == frame["step"] and one["rewind"]["last"] == frame["step"])
    assert again["playing"] is False
    for part in ("q", "d", "arrows", "details"):
        assert again[part] == frame[part], part
    assert LabGame.replay(log).step == frame["step"]


def test_measured_numbers_arrive_by_themselves(browser: Visitor) -> None:
    assert browser.post("/api/new", SMALL)[0] == 200
    browser.do("step")
    frame = browser.until(lambda frame: frame["point"]["step"] == 1 and "js" in frame["point"])
    values = {row["key"]: row["value"] for row in frame["numbers"]}
    assert all(values[key] is not None for key in ("V", "bound", "gap", "js", "kl", "w"))


def test_a_new_game_of_two_numbers(browser: Visitor) -> None:
    status, made = browser.post("/api/new", {"mode": "dirac", "loss": "wasserstein", "lr_g": "0.2"})
    assert (status, made["settings"]["lr_g"]) == (200, 0.2)
    frame = browser.until(lambda frame: frame["mode"] == "dirac")
    assert frame["path"] == [[1.0, 1.0]]
    assert frame["radius"]["theory"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("new", {"source": "rong"}, "Did you mean 'ring'"),
        ("new", {"lr_g": 9}, "lr_g = 9"),
        ("new", b"{", "The message is not valid JSON"),
        ("new", [1], "The message is list, not a JSON object"),
        ("new", b" " * 4_100_000, "longer than 4,000,000 bytes"),
        ("do", {"action": "jump"}, "action: there is no action 'jump'"),
        ("do", {"action": "speed", "speed": 0}, "speed = 0: give a whole number from 1 to 200"),
        ("do", {"action": "rewind", "to": 10**9}, "to = 1000000000: give a whole number from 0"),
        ("do", {"action": "rewind"}, "to = None"),
        ("change", {"batch": 3}, "batch cannot be changed"),
        ("change", {"lr_g": 0.01, "lr_d": "x"}, "lr_d = 'x'"),
        ("change", {}, "nothing to change"),
        ("replay", {"settings": {}, "moves": [["hop", 1]]}, "there is no kind 'hop'"),
    ],
)
def test_what_cannot_be_done_is_said(browser: Visitor, path: str, body: Any, said: str) -> None:
    before = browser.get("/api/log")
    status, answer = browser.post(f"/api/{path}", body)
    assert status == 400
    assert said in answer["error"]
    assert browser.get("/api/log") == before  # a change of two values, one of them wrong, changes nothing


def test_a_game_that_breaks_pauses_and_says_so(browser: Visitor) -> None:
    wild = {"source": "ring", "g_width": 12, "d_width": 12, "batch": 32, "loss": "wasserstein", "penalty": "none"}
    browser.post("/api/new", wild | {"optimizer": "sgd", "lr_g": 1.0, "lr_d": 1.0})
    browser.do("speed", speed=200)
    browser.do("play")
    frame = browser.until(lambda frame: frame["error"] is not None)
    assert "is not finite" in frame["error"]
    assert frame["playing"] is False
    browser.do("rewind", to=0)
    assert browser.until(lambda frame: frame["step"] == 0)["error"] is None


def test_a_command_whose_asker_has_gone_is_left_out_and_the_game_goes_on() -> None:
    worker = Worker(parse(SMALL))
    gone = worker.ask(lambda: worker.do({"action": "step"}))
    assert gone.cancel()
    worker.start()
    worker.ask(lambda: worker.do({"action": "step"})).result(timeout=20)
    assert worker.lab.step == 1
    worker.stop()


# --- recordings


def test_a_recording_is_one_page_and_an_animation(browser: Visitor) -> None:
    browser.post("/api/new", SMALL)
    assert browser.post("/api/record", {"on": True})[0] == 200
    for _ in range(3):
        browser.do("step")
        time.sleep(0.1)
    browser.post("/api/record", {"on": False})
    browser.until(lambda frame: not frame["recording"])
    status, headers, body = browser.ask("GET", "/api/recording.html")
    page = body.decode()
    assert status == 200
    assert headers["content-disposition"] == 'attachment; filename="zerosum-lab.html"'
    stored = re.search(r'<script type="application/json" id="recording">(.*?)</script>', page, re.S)
    assert stored
    found = json.loads(stored[1])
    assert [frame["step"] for frame in found["frames"]][-1] == 3
    assert found["choices"]["stages"]
    assert found["points"]
    assert "<link" not in page.split("</style>")[-1]
    assert re.findall(r"\ssrc=\"/", page) == []
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    assert "connect-src" not in policy[1]  # so that default-src 'none' holds
    blocks = re.findall(r"<(script|style)>(.*?)</\1>", page, re.S)
    assert len(blocks) > 5
    for _, content in blocks:
        assert base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() in policy[1]

    status, headers, body = browser.ask("GET", "/api/recording.gif")
    assert (status, headers["content-type"]) == (200, "image/gif")
    with Image.open(io.BytesIO(body)) as image:
        assert getattr(image, "n_frames", 1) >= 3
        assert image.size == (480, 500)
    assert browser.ask("GET", "/api/recording.mp4")[0] == 404
    browser.post("/api/record", {"on": True})
    browser.post("/api/record", {"on": False})


def test_nothing_in_a_recording_can_end_its_element() -> None:
    nasty = "</script><script>alert(1)</script><!-- &amp;"
    text = recordings.page({}, [{"error": nasty}], [])
    stored = re.search(r'<script type="application/json" id="recording">(.*?)</script>', text, re.S)
    assert stored
    assert json.loads(stored[1])["frames"] == [{"error": nasty}]
    assert not set("<>&") & set(stored[1])
    assert "alert(1)" not in text.replace(stored[1], "")


def test_a_recording_stays_within_bounds_and_spreads_over_the_whole() -> None:
    recorder = Recorder()
    with pytest.raises(UserError, match="Press Record"):
        recorder.recorded()
    for step in range(5_000):
        recorder.add({"step": step})
    steps = [frame["step"] for frame in recorder.recorded()]
    assert MOST / 2 <= len(steps) <= MOST
    assert (steps[0], len({b - a for a, b in itertools.pairwise(steps)})) == (0, 1)
    assert steps[-1] > 4_900


# --- the server itself


def test_a_port_in_use_is_said() -> None:
    with contextlib.closing(open_socket(0)) as taken, pytest.raises(UserError, match="Omit --port"):
        open_socket(taken.getsockname()[1])


def test_the_extra_is_named_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from zerosum.lab.server import need_extra

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(UserError, match=r"pip install 'zerosum\[lab\]'"):
        need_extra()


def test_the_verb_prints_an_address_and_ends_with_ctrl_c(tmp_path: Any) -> None:
    (tmp_path / "log.json").write_text(json.dumps({"settings": SMALL, "moves": [["step", 4]], "changes": []}))
    command = [sys.executable, "-m", "zerosum", "lab", "--no-open", "--replay", str(tmp_path / "log.json")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{20,}", address)
        visitor = Visitor.__new__(Visitor)
        visitor.port = int(address.split(":")[2].split("/")[0])
        visitor.host, visitor.address, visitor.headers = f"127.0.0.1:{visitor.port}", address, {}
        visitor.enter()
        assert visitor.until(lambda frame: frame["step"] == 4)["rewind"]["last"] == 4
        with visitor.frames() as frames:  # an open page does not hold the server up
            next(frames)
            process.send_signal(2)
            _, said = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0
    assert said.splitlines()[-1] == "The lab is closed."
    assert "Traceback" not in said
    assert "ERROR" not in said
