"""A headless Chromium that watches its own traffic and console, a lab to look at with it, and the lab's page in its hands."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
]

SMALL = "g_width=16&d_width=16&batch=64"
"""Little networks, so that a busy machine plays them quickly too."""
seeds = itertools.count(1)


def missing() -> str | None:
    """Why no browser can be driven here; None when one can."""
    for name in ("chromium", "chromedriver"):
        if shutil.which(name) is None:
            return f"{name} is not installed"
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed"
    return None


@contextlib.contextmanager
def chromium(profile: Path, width: int = 1440, height: int = 1000, *flags: str) -> Iterator[Any]:
    """A driver with a fresh profile; its console and network logs are kept, downloads go to profile/downloads."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, *flags, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    options.add_experimental_option("prefs", {"download.default_directory": str(profile / "downloads")})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        driver.set_script_timeout(20)
        yield driver
    finally:
        driver.quit()


def resize(driver: Any, width: int, height: int, *, ratio: float = 1.0, dark: bool = False) -> None:
    """Sets the size of the page itself, below the least width of a window, and the theme that the system prefers."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def requests(driver: Any) -> list[str]:
    """Addresses that were asked for since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]


def hosts(addresses: list[str]) -> set[str]:
    """The hosts of the addresses that lead over a network."""
    return {urlparse(one).hostname or "" for one in addresses if urlparse(one).scheme in ("http", "https", "ws", "wss")}


def complaints(driver: Any) -> list[str]:
    """Errors and warnings of the console since the last call."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def worked_s(driver: Any) -> float:
    """Seconds of processor time that the page's main thread has taken; ask for "Performance.enable" in threadTicks before."""
    metrics = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


class Laboratory:
    """`zerosum lab --no-open` as a process of its own. address: what it printed, good for one browser."""

    def __init__(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "zerosum", "lab", "--no-open"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        assert self.address.startswith("http://127.0.0.1:"), f"the lab printed {self.address!r}"

    @property
    def root(self) -> str:
        """The address without the token."""
        return self.address.split("?")[0]

    def close(self) -> None:
        """Ends the process."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def wait(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """The first true answer of the condition; AssertionError names what did not come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.03)
    raise AssertionError(f"waited {seconds:g} s for {what}")


class Page:
    """The page as a visitor has it: `press` and `choose` what is on it, `frame` what it shows."""

    def __init__(self, driver: Any, root: str) -> None:
        self.driver, self.root = driver, root

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def find(self, name: str) -> Any:
        return self.driver.find_element("id", name)

    def open(self, query: str) -> None:
        """A game of its own: no other test has its seed."""
        seed = next(seeds)
        self.driver.get(f"{self.root}?{query}&seed={seed}")
        wait(lambda: self.setting("seed") == seed and self.drawn() > 0, f"the game {query}")
        self.ready()

    def ready(self) -> None:
        """Waits until the buttons can be pressed: the first frame of a new game may arrive before the answer to its request."""
        wait(
            lambda: self.run("return document.querySelector('main').ariaBusy !== 'true'"), "buttons that can be pressed"
        )

    def frame(self) -> dict[str, Any]:
        return self.run("return page.frame")

    def setting(self, name: str) -> Any:
        return self.run("return page.frame?.settings[arguments[0]]", name)

    def drawn(self) -> int:
        return int(self.run("return document.getElementById('canvas')?.dataset.drawn ?? 0"))

    @property
    def step(self) -> int:
        return int(self.find("step").text.replace(",", ""))

    def press(self, name: str) -> None:
        self.find(name).click()

    def move(self, name: str, count: int = 1) -> None:
        """Presses a button of one move and waits until it was made."""
        for _ in range(count):
            before = self.step
            self.press(name)
            wait(lambda before=before: self.step == before + 1, f"{name} after step {before}")

    def number(self, key: str) -> float:
        """What the table of numbers says."""
        text = self.driver.find_element("css selector", f'[data-number="{key}"]').text
        return float(text.replace("−", "-").replace(",", "")) if text not in ("", "–") else math.nan

    def measured(self, key: str) -> float:
        """A number of the present step, when it has been measured."""
        frame = "return page.frame.point.step === page.frame.step && page.frame.point[arguments[0]] !== undefined"
        wait(lambda: self.run(frame, key), f"{key} of this step")
        return self.number(key)

    def choose(self, name: str, value: str) -> None:
        from selenium.webdriver.support.ui import Select

        self.run("arguments[0].closest('details').open = true", self.find(f"set-{name}"))
        Select(self.find(f"set-{name}")).select_by_value(value)

    def write(self, name: str, value: str) -> None:
        field = self.find(f"set-{name}")
        self.run("arguments[0].closest('details').open = true", field)
        field.clear()
        field.send_keys(value, "\n" if name in ("lr_g", "lr_d", "weight", "k") else "\t")

    def keys(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()
