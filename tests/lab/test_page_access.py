"""The lab's page for everybody: by keyboard, in words, in both themes, on a phone, and on a first visit."""

from __future__ import annotations

import json

import pytest

import browser
from browser import SMALL, Page, wait


def test_keyboard_alone(page: Page) -> None:
    page.open(f"source=ring&{SMALL}")
    page.run("document.activeElement.blur()")
    page.keys("s")
    wait(lambda: page.step == 1, "a step")
    page.keys("d")
    wait(lambda: page.step == 2, "a move of D")
    page.keys("\ue012")
    wait(lambda: page.step == 1, "one step back")
    page.keys(" ")
    wait(lambda: page.find("play").text == "Pause", "play")
    page.keys(" ")
    wait(lambda: page.find("play").text == "Play", "pause")
    page.keys("?")
    wait(page.find("help-dialog").is_displayed, "the help")
    page.keys("\ue00c")
    reached = set()
    for _ in range(45):
        page.keys("\t")
        reached.add(page.run("return document.activeElement.id || document.activeElement.dataset.layer || ''"))
    wanted = {
        "board",
        "play",
        "do-step",
        "do-discriminator",
        "do-generator",
        "slow",
        "speed",
        "time",
        "set-loss",
        "start",
    }
    assert wanted - reached == set()


def test_words_for_those_who_do_not_see(page: Page) -> None:
    page.open(f"source=ring&{SMALL}")
    page.move("do-step")
    wait(lambda: "step 1" in page.find("live").get_attribute("textContent"), "the spoken line")
    assert "step 1" in page.find("canvas").get_attribute("aria-label")
    page.run("document.getElementById('board').focus()")
    page.keys("\ue014", "\ue015")
    wait(lambda: "D = " in page.find("live").get_attribute("textContent"), "the value at the cursor")
    unnamed = """return [...document.querySelectorAll('button, input, select, a')].filter((one) => one.checkVisibility()
        && !(one.labels?.length || one.ariaLabel || one.textContent.trim())).map((one) => one.outerHTML)"""
    assert page.run(unnamed) == []


@pytest.mark.parametrize("dark", [False, True])
def test_contrast_of_text(page: Page, dark: bool) -> None:
    browser.resize(page.driver, 1440, 1000, dark=dark)
    page.open(f"source=ring&{SMALL}")
    colours = json.loads(
        page.run("return JSON.stringify(Object.fromEntries(INKS.map((name) => [name, palette.parts(name)])))")
    )

    def luminance(name: str) -> float:
        parts = [value / 255 for value in colours[name]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert (luminance("card") < 0.1) is dark
    for ground in ("card", "paper"):
        for name in ("ink", "muted", "real", "fake", "discriminator", "generator", "other1", "other2", "alarm"):
            high, low = sorted((luminance(name), luminance(ground)), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, f"{name} on {ground}"


@pytest.mark.parametrize("query", ["source=ring", "source=normal", "mode=dirac"])
def test_a_phone_shows_all_of_it(page: Page, query: str) -> None:
    browser.resize(page.driver, 360, 740, ratio=3.0)
    page.open(query)
    assert page.run("return document.documentElement.scrollWidth") == 360
    if query == "source=ring":
        page.press("slow")
        wait(page.find("slow-title").is_displayed, "slow motion")
        assert page.run("return document.documentElement.scrollWidth") == 360
    crisp = page.run("return page.stage.canvas.width / page.stage.canvas.getBoundingClientRect().width")
    assert crisp == pytest.approx(3.0, abs=0.02)


def test_things_to_try(page: Page) -> None:
    for name, expected in (
        ("try-figure", "source=normal"),
        ("try-collapse", "penalty=none"),
        ("try-dirac", "mode=dirac"),
    ):
        page.driver.get(page.root)
        wait(lambda: page.drawn() > 0, "the page")
        page.press(name)
        wait(lambda expected=expected: expected in page.driver.current_url, name)
        wait(lambda: page.step > 0, f"{name} to play")
