"""One lab and one browser for all tests of its page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import browser


@pytest.fixture(scope="module")
def laboratory() -> Iterator[browser.Laboratory]:
    """The process of a lab; skips where no browser could look at it."""
    reason = browser.missing()
    if reason:
        pytest.skip(reason)
    made = browser.Laboratory()
    yield made
    made.close()


@pytest.fixture(scope="module")
def driver(laboratory: browser.Laboratory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser that has used the lab's address, which is good once."""
    with browser.chromium(tmp_path_factory.mktemp("profile")) as made:
        browser.resize(made, 1440, 1000)
        made.get(laboratory.address)
        yield made


@pytest.fixture
def page(driver: Any, laboratory: browser.Laboratory) -> Iterator[browser.Page]:
    """The page. Afterwards: nothing was complained of, and nothing was asked of any other host."""
    browser.resize(driver, 1440, 1000)
    yield browser.Page(driver, laboratory.root)
    driver.get(laboratory.root)
    assert browser.complaints(driver) == []
    assert browser.hosts(browser.requests(driver)) == {"127.0.0.1"}
