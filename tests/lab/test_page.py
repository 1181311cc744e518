"""The lab's page in a real Chromium: its controls are driven, its numbers read, its traffic and console watched."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import browser
from browser import SMALL, Page, wait


def fall(values: Callable[[], float], below: float, what: str, seconds: float = 25.0) -> float:
    wait(lambda: values() < below, f"{what} below {below:.3g}", seconds)
    return values()


# --- the game under control


def test_play_and_pause(page: Page) -> None:
    page.open(f"source=ring&{SMALL}")
    assert page.step == 0
    page.press("play")
    wait(lambda: page.step > 3, "steps")
    assert page.find("play").text == "Pause"
    page.press("play")
    wait(lambda: page.find("play").text == "Play", "a pause")
    stopped = page.step
    time.sleep(0.3)
    assert page.step == stopped == page.frame()["step"]


def test_a_lone_move_changes_one_player(page: Page) -> None:
    page.open(f"source=normal&{SMALL}")
    start = page.frame()
    page.move("do-discriminator")
    after_d = page.frame()
    assert after_d["arrows"] == start["arrows"]
    assert after_d["q"] == start["q"]
    assert after_d["d"] != start["d"]
    page.move("do-generator")
    after_g = page.frame()
    assert after_g["arrows"] != after_d["arrows"]
    assert after_g["turn"] == "generator"
    page.move("do-step")
    assert page.frame()["turn"] == "both"


def test_rewind_brings_back_the_very_numbers(page: Page) -> None:
    page.open(f"source=mixture&{SMALL}")
    seen = {}
    for _ in range(4):
        page.move("do-step")
        page.move("do-discriminator")
        seen[page.step] = page.frame()
    kept = ("d", "q", "arrows", "details")
    for step in (4, 2, 8):
        slider = "const time = document.getElementById('time'); time.value = arguments[0]; time.dispatchEvent(new Event('input'))"
        page.run(slider, step)
        wait(lambda step=step: page.step == step, f"step {step}")
        assert {key: page.frame()[key] for key in kept} == {key: seen[step][key] for key in kept}
    assert page.frame()["rewind"]["last"] == 8


def test_speed_and_frames_a_second(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    """Frames a second of wall time depend on what else the machine does; those a second of the page's own work do not."""
    page.open(f"source=ring&{SMALL}")
    page.driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    page.press("play")
    wait(lambda: page.step > 5, "steps")
    began, drawn, step, worked = time.perf_counter(), page.drawn(), page.step, browser.worked_s(page.driver)
    wait(lambda: page.drawn() >= drawn + 20, "frames")
    seconds, worked = time.perf_counter() - began, browser.worked_s(page.driver) - worked
    frames, steps = page.drawn() - drawn, page.step - step
    with capsys.disabled():
        print(f"\n  lab page: {frames / seconds:.1f} frames and {steps / seconds:.1f} steps a second, ", end="")
        print(f"{1000 * worked / frames:.1f} ms of work a frame")
    assert frames / worked >= 30
    page.run("const s = document.getElementById('speed'); s.value = 20; s.dispatchEvent(new Event('change'))")
    wait(lambda: page.frame()["speed"] == 20, "the speed")


def test_slow_motion_walks_through_five_stages(page: Page) -> None:
    page.open(f"source=ring&{SMALL}")
    page.run("document.getElementById('slow-pace').value = '0'")
    page.press("slow")
    texts = []
    for player in ("The discriminator", "The generator"):
        wait(lambda player=player: page.find("slow-who").text.startswith(player), player)
        for stage in range(1, 6):
            assert f"Stage {stage} of 5" in page.find("slow-who").text
            texts.append(page.find("slow-title").text)
            held = page.run("return page.slow.held !== null")
            assert held is (stage < 5), "the move is shown at its last stage"
            lit = page.driver.find_elements("css selector", "#diagram .lit")
            assert lit
            if stage == 4:
                assert "loss" in page.find("diagram").text
            page.press("slow-next")
    assert len(set(texts[:5])) == 5
    page.press("slow-close")
    wait(lambda: not page.find("slow-panel").is_displayed() and page.step >= 2, "the game again")


# --- settings


def test_a_setting_lands_in_the_address_and_survives(page: Page) -> None:
    page.open(f"source=ring&{SMALL}")
    before = page.driver.current_url
    page.choose("source", "moons")
    page.choose("loss", "hinge")
    assert "Data" in page.find("pending").text
    assert page.driver.current_url == before
    page.press("start")
    wait(lambda: "source=moons" in page.driver.current_url, "the address of the new game")
    assert page.setting("source") == "moons"
    assert "loss=hinge" in page.driver.current_url
    page.move("do-step", 2)
    page.driver.refresh()
    wait(lambda: page.setting("source") == "moons" and page.step == 2, "the same game after a reload")
    assert page.find("set-loss").get_attribute("value") == "hinge"
    page.driver.back()
    wait(lambda: page.setting("source") == "ring" and page.setting("loss") == "non_saturating", "the game before")
    page.driver.forward()
    wait(lambda: page.setting("source") == "moons", "the later game")


@pytest.mark.parametrize("late", ["answer", "frame"])
def test_going_back_does_not_depend_on_what_arrives_first(page: Page, late: str) -> None:
    """The answer to a request for a new game and the first frame of that game come by two connections."""
    slow_answer = """
        const ask = page.client.fresh.bind(page.client);
        page.client.fresh = async (sent) => {
          const answer = await ask(sent);
          await new Promise((resolve) => setTimeout(resolve, 500));
          return answer;
        };"""
    slow_frames = """
        const receive = page.receive.bind(page);
        page.receive = (frame) => setTimeout(() => receive(frame), 500);"""
    page.open(f"source=ring&{SMALL}")
    page.run(slow_answer if late == "answer" else slow_frames)
    page.choose("source", "moons")
    page.press("start")
    wait(lambda: "source=moons" in page.driver.current_url, "the address of the new game")
    wait(lambda: page.setting("source") == "moons", "the new game")
    points = page.run("return page.charts.points.map((point) => point.step)")
    assert points == [0]
    page.driver.back()
    wait(lambda: page.setting("source") == "ring", "the game before")
    wait(lambda: "source=moons" not in page.driver.current_url, "its address")
    page.driver.forward()
    wait(lambda: page.setting("source") == "moons", "the later game")


def test_rates_act_at_once(page: Page) -> None:
    page.open(f"source=normal&{SMALL}")
    page.move("do-step")
    page.write("lr_g", "0.005")
    wait(lambda: page.setting("lr_g") == 0.005, "the rate")
    assert page.step == 1
    assert "lr_g=0.005" in page.driver.current_url
    log = page.run("return page.client.ask('/api/log')")
    assert log["changes"] == [{"step": 1, "name": "lr_g", "value": 0.005}]


def test_an_error_stands_beside_its_field(page: Page) -> None:
    page.open(f"source=ring&{SMALL}")
    page.write("latent", "99")
    page.press("start")
    said = page.find("set-latent-error")
    wait(said.is_displayed, "the error")
    assert "32" in said.text
    assert all("400 (Bad Request)" in line for line in browser.complaints(page.driver))  # the browser's own note of it
    assert page.find("set-latent").get_attribute("aria-invalid") == "true"
    assert page.setting("latent") == 2


# --- drawing


def test_drawn_points_are_learnt(page: Page) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    page.open(f"source=ring&lr_d=0.003&{SMALL}")
    page.choose("source", "drawn")
    page.press("clear")
    canvas = page.find("canvas")
    stroke = ActionChains(page.driver, duration=10).move_to_element_with_offset(canvas, 60, -150).click_and_hold()
    for along in range(12):
        stroke.move_to_element_with_offset(canvas, 60 + 10 * along, -150 + 4 * along)
    stroke.release().perform()
    count = int(page.find("num-points").text.split()[0])
    assert count >= 8
    page.press("learn")
    wait(lambda: page.setting("source") == "drawn", "the drawn game")
    page.ready()
    points = page.setting("points").split(";")
    assert len(points) == count
    assert f"points={points[0]}" in page.driver.current_url
    start = page.measured("w")
    page.press("play")
    assert fall(lambda: page.number("w"), start / 2, "W2 to the drawing") > 0


def test_drawing_by_keyboard(page: Page) -> None:
    page.open(f"source=ring&{SMALL}")
    page.choose("source", "drawn")
    page.press("clear")
    page.run("document.querySelector('[name=dims][value=\"1\"]').click(); document.getElementById('board').focus()")
    right, enter = "\ue014", "\ue007"
    page.keys(enter, enter, *[right] * 8, enter, "\ue003")  # the last one is taken back
    assert page.find("num-points").text.startswith("2 of")
    page.press("learn")
    wait(lambda: page.setting("source") == "drawn", "the drawn game")
    page.ready()
    assert len(page.setting("points").split(";")) == 2
    assert page.frame()["dims"] == 1
    assert page.setting("latent") == 1


# --- theory beside the game


def test_d_nears_the_best_d_while_it_plays_alone(page: Page) -> None:
    page.open("source=normal&penalty=none&lr_d=0.02&d_width=32&g_width=8&batch=256")
    assert "best D*" in page.find("layers").text
    start = {key: page.measured(key) for key in ("gap", "V", "bound")}
    arrows = page.frame()["arrows"]
    page.move("do-discriminator", 24)
    end = {key: page.measured(key) for key in ("gap", "V", "bound")}
    assert end["gap"] < start["gap"] / 2
    assert start["V"] < end["V"] <= end["bound"] + 0.01
    assert end["bound"] == start["bound"]  # it speaks of G, which has not moved
    assert page.frame()["arrows"] == arrows


def test_dirac_path_and_eigenvalues(page: Page) -> None:
    page.open("mode=dirac&loss=wasserstein&simultaneous=true&lr_g=0.1")
    page.move("do-step", 6)
    frame = page.frame()
    assert len(frame["path"]) == 7
    # Simultaneous steps of a linear game: (theta, psi) turns by atan(h) and grows by sqrt(1 + h^2).
    growth = math.hypot(*frame["path"][-1]) / math.hypot(*frame["path"][0])
    assert growth == pytest.approx(1.01**3, rel=1e-4)
    assert page.number("radius") == pytest.approx(math.sqrt(1.01), abs=6e-4)
    for side in ("theory", "engine"):
        values = sorted(frame["eigenvalues"][side], key=lambda pair: pair[1])
        assert values == [pytest.approx([0, -1], abs=1e-4), pytest.approx([0, 1], abs=1e-4)]
    assert "1.0050 in theory" in page.find("canvas").get_attribute("aria-label")


def test_layers_and_heat_are_part_of_the_address(page: Page) -> None:
    page.open(f"source=ring&{SMALL}")
    page.driver.find_element("css selector", '[data-layer="warp"]').click()
    page.run(
        "const s = document.querySelector('[data-layer=probability]'); s.selectedIndex = 1; s.dispatchEvent(new Event('change'))"
    )
    wait(lambda: "hide=warp" in page.driver.current_url and "arrows=probability" in page.driver.current_url, "the view")
    page.driver.refresh()
    pressed = 'return document.querySelector("[data-layer=warp]")?.getAttribute("aria-pressed")'
    wait(lambda: page.run(pressed) == "false", "the view after a reload")


# --- saving


def test_a_saved_game_plays_again_bit_for_bit(page: Page, driver: Any, tmp_path: Path) -> None:
    from zerosum.lab.lab_game import LabGame

    driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.open(f"source=normal&{SMALL}")
    page.move("do-step", 3)
    page.move("do-discriminator", 2)
    shown = page.frame()
    page.press("get-log")
    saved = tmp_path / "zerosum-lab.json"
    wait(saved.is_file, "the saved game")
    log = json.loads(saved.read_text())
    assert log["moves"] == [["step", 3], ["discriminator", 2]]
    assert LabGame.replay(log).step == shown["step"] == 5


# --- recording


def test_a_recording_plays_without_the_lab(page: Page, driver: Any, tmp_path: Path) -> None:
    from PIL import Image

    driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.open(f"source=normal&{SMALL}")
    page.press("record")
    wait(lambda: page.find("record").text == "Stop recording", "the recording")
    page.move("do-step", 5)
    shown = page.frame()
    page.press("record")
    wait(page.find("downloads").is_displayed, "what can be saved")
    page.press("get-gif")
    page.press("get-html")
    names = ("zerosum-lab.html", "zerosum-lab.gif")
    wait(lambda: all((tmp_path / name).is_file() for name in names), "the files")
    with Image.open(tmp_path / names[1]) as animation:
        assert animation.n_frames >= 5
    browser.requests(driver)
    driver.get((tmp_path / names[0]).as_uri())
    wait(lambda: page.drawn() > 0, "the recording's picture")
    page.press("play")
    wait(lambda: page.step == 5 and page.find("play").text == "Play", "the end of the recording")
    assert page.frame()["d"] == shown["d"]
    page.keys("\ue011")  # Home
    wait(lambda: page.step == 0, "the beginning of the recording")
    page.move("do-step")
    assert page.find("set-loss").get_attribute("disabled")
    assert page.find("start").get_attribute("disabled")
    assert browser.hosts(browser.requests(driver)) == set()
