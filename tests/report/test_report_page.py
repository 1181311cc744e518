"""The page in a browser: pictures enlarge by click and key, folded parts open by link and for print, small screens show fewer
and larger samples, the keyboard reaches the samples first."""

from __future__ import annotations

import base64
import json
import struct
import time
import wave
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import browser
from zerosum.data.images.pictures import save_grid
from zerosum.domains.video.media import save_sheet
from zerosum.report import write_report
from zerosum.report.previews import read_picture

RECORDS = [{"name": "recall[c,n=9]", "value": 0.5, "better": "higher", "meaning": "Variety.", "reference": 0.75}]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if reason := browser.missing():
        pytest.skip(reason)
    with browser.chromium(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture
def page(driver: Any, folder: Path) -> Iterator[Any]:
    """The report of a run with grids of 10 x 8 samples and two evaluations; nothing is complained of, nothing fetched."""
    for step, level in ((0, -1.0), (100, 0.0), (300, 1.0)):
        save_grid(torch.full((80, 1, 8, 8), level), 10, folder / "previews" / f"step-{step:08d}.png")
    with (folder / "metrics.jsonl").open("a") as log:
        for step in (200, 300):
            log.write(json.dumps({"step": step, "kind": "evaluation", "records": RECORDS}) + "\n")
    browser.resize(driver, 1280, 900)
    driver.get(write_report(folder).as_uri())
    yield driver
    assert browser.complaints(driver) == []
    assert browser.hosts(browser.requests(driver)) == set()


def press(driver: Any, *keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(driver).send_keys(*keys).perform()


def shown(driver: Any) -> dict[str, Any]:
    """The enlarged picture: whether it is open, its words, its width, and whether it is that of the page."""
    return dict(
        driver.execute_script(
            "const d = document.querySelector('dialog'), i = d.querySelector('img');"
            "return {open: d.open, words: i.alt, width: i.clientWidth, same: i.src === document.getElementById('fake').src}"
        )
    )


def test_clips_play_and_stand_still_where_less_motion_is_asked_for(driver: Any, folder: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    clips = (
        torch.linspace(0, 255, 6).byte()[None, :, None, None, None].expand(3, 6, 1, 8, 8)
    )  # brighter from frame to frame
    save_sheet(clips, folder / "previews" / "step-00000400.png", 20.0)
    address = write_report(folder).as_uri()

    def frame() -> int:
        """The number of the frame that is shown."""
        return int(driver.execute_script("return Number(document.querySelector('canvas.film').dataset.frame)"))

    def grey() -> int:
        """The grey value in the middle of the first clip."""
        pixel = "document.querySelector('canvas.film').getContext('2d').getImageData(20, 20, 1, 1).data[0]"
        return int(driver.execute_script(f"return {pixel}"))

    def prefer(motion: str) -> None:
        features = [{"name": "prefers-reduced-motion", "value": motion}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        driver.get(address)

    prefer("no-preference")
    seen = set()
    browser.wait(lambda: seen.add(frame()) or len(seen) > 2, "the clips to play", 10)
    button = driver.find_element("css selector", "button.film")
    button.send_keys(Keys.SPACE)
    stopped = frame()
    assert button.text == "Play"
    assert grey() == pytest.approx(255 * stopped / 5, abs=3)
    time.sleep(0.3)
    assert frame() == stopped
    prefer("reduce")
    time.sleep(0.3)
    assert frame() == 0
    assert driver.find_element("css selector", "button.film").text == "Play"
    prefer("no-preference")


def test_the_grid_of_a_picture_ends_where_its_text_ends(tmp_path: Path) -> None:
    """The checksum of the chunk, which follows, may begin with a digit."""
    body = zlib.compress(bytes(2))
    for number in range(2_000):
        text = b"grid\x00%dx%d" % (number % 40 + 1, number // 40 + 1)
        checksum = struct.pack(">I", zlib.crc32(b"tEXt" + text))
        if checksum[:1].isdigit():
            break
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)), (b"tEXt", text), (b"IDAT", body), (b"IEND", b"")]
    data = b"".join(
        struct.pack(">I", len(one)) + kind + one + struct.pack(">I", zlib.crc32(kind + one)) for kind, one in chunks
    )
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    picture = read_picture(tmp_path / "a.png", None, [])
    assert picture is not None
    assert (picture.columns, picture.rows) == (number % 40 + 1, number // 40 + 1)


def test_sounds_follow_the_slider_and_are_played_by_key(driver: Any, folder: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    for step, seconds in ((0, 1), (100, 0), (300, 3)):
        save_grid(torch.zeros(80, 1, 8, 8), 10, folder / "previews" / f"step-{step:08d}.png")
        if seconds:
            write_sound(folder / "previews" / f"step-{step:08d}.wav", seconds)
    write_sound(folder / "previews" / "real.wav", 2)
    driver.get(write_report(folder).as_uri())

    def heard() -> tuple[float, str]:
        browser.wait(
            lambda: driver.execute_script("return document.getElementById('fake-sound').readyState > 0"), "the sound"
        )
        length = driver.execute_script("return document.getElementById('fake-sound').duration")
        return round(length, 1), driver.find_element("id", "fake-heard").text

    assert heard() == (3.0, "The first of these samples, one after another.")
    press(driver, Keys.ARROW_LEFT)
    assert heard() == (
        1.0,
        "The first of these samples at step 0, one after another.",
    )  # step 100 has no sound of its own
    press(driver, Keys.ARROW_LEFT)
    assert heard() == (1.0, "The first of these samples, one after another.")
    press(driver, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert heard()[0] == 3.0
    sound = driver.find_element("id", "fake-sound")
    assert sound.get_attribute("aria-label") == "Sound: generated samples at step 300"
    driver.execute_script("arguments[0].focus()", sound)
    press(driver, Keys.SPACE)
    browser.wait(lambda: not driver.execute_script("return arguments[0].paused", sound), "the sound to be played")
    press(driver, Keys.ARROW_LEFT)  # belongs to the player now, not to the slider
    assert driver.find_element("id", "slider").get_attribute("value") == "2"
    assert driver.execute_script("return Math.round(document.getElementById('real-sound').duration)") == 2
    assert browser.complaints(driver) == []


def write_sound(path: Path, seconds: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000 * seconds))


def test_a_grid_enlarges_by_click_and_by_key_and_moves_with_the_arrows(page: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    small = page.find_element("id", "fake").size["width"]
    page.find_element("id", "fake").click()
    first = shown(page)
    assert first["open"]
    assert first["same"]
    assert first["words"] == "Generated samples at step 300"
    assert first["width"] > 2.5 * small
    press(page, Keys.ARROW_LEFT)
    assert (shown(page)["words"], shown(page)["same"]) == ("Generated samples at step 100", True)
    press(page, Keys.ESCAPE)
    browser.wait(lambda: not shown(page)["open"], "the picture to close")
    press(page, "e")
    assert shown(page)["open"]
    page.find_element("css selector", "dialog button").click()
    assert not shown(page)["open"]


def test_a_phone_shows_sixteen_larger_samples(page: Any) -> None:
    side = "return document.getElementById('fake').getBoundingClientRect().width / 10"
    hint = "return getComputedStyle(document.querySelector('.narrow')).display"
    wide, hidden = page.execute_script(side), page.execute_script(hint)
    browser.resize(page, 390, 844)
    time.sleep(0.2)
    assert hidden == "none"
    assert page.execute_script(hint) != "none"
    assert page.execute_script(side) > 80 > 2 * wide
    frame = page.execute_script("return document.getElementById('fake').parentElement.getBoundingClientRect().toJSON()")
    assert frame["width"] / frame["height"] == pytest.approx(1, abs=0.06)  # four columns and four rows of squares
    assert page.execute_script("return document.documentElement.scrollWidth") == 390


def test_folded_parts_open_by_link_and_draw_their_charts(page: Any) -> None:
    opened = "return document.getElementById('measures-varied').open"
    assert not page.execute_script(opened)
    page.execute_script("document.querySelector('.first a[href=\"#measures-varied\"]').click()")
    browser.wait(lambda: page.execute_script(opened), "the measures to open")
    wide = "return document.querySelector('#measures-varied .plot svg').viewBox.baseVal.width"
    browser.wait(lambda: page.execute_script(wide) > 400, "the chart at its width")


def test_a_print_shows_what_is_folded_and_no_controls(page: Any) -> None:
    page.execute_script(
        "window.addEventListener('beforeprint', () => { window.seen = [...document.querySelectorAll('details.question')]"
        ".every((part) => part.open); })"
    )
    body = page.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})["data"]
    assert base64.b64decode(body)[:4] == b"%PDF"
    assert page.execute_script("return window.seen")
    assert not page.execute_script("return document.getElementById('measures-varied').open")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    gone = "return ['nav', '.control', '.skip'].map((one) => getComputedStyle(document.querySelector(one)).display)"
    assert page.execute_script(gone) == ["none"] * 3
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen"})


def test_the_first_tab_skips_to_the_samples(page: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    press(page, Keys.TAB)
    assert page.execute_script("return document.activeElement.className") == "skip"
    assert page.execute_script("return document.activeElement.getBoundingClientRect().top") >= 0
    press(page, Keys.ENTER)
    browser.wait(lambda: page.execute_script("return document.activeElement.id") == "top", "the focus on the samples")


def test_who_wants_less_motion_gets_less(page: Any) -> None:
    """The same picture stays for a second; scrolling does not glide."""
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    )
    page.refresh()
    assert page.execute_script("return getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    page.find_element("id", "play").click()
    time.sleep(0.6)
    assert page.find_element("id", "when").text.startswith("step 0")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
