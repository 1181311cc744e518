"""One lab and one browser for all tests of its page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import browser


@pytest.fixture(scope="module")
def serving() -> Iterator[browser.Laboratory]:
    """The process of a lab; skips where no browser could look at it."""
    reason = browser.missing()
    if reason:
        pytest.skip(reason)
    made = browser.Laboratory()
    yield made
    made.close()


@pytest.fixture(scope="module")
def driver(serving: browser.Laboratory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser that has used the lab's address, which is good once."""
    with browser.chromium(tmp_path_factory.mktemp("profile")) as made:
        browser.resize(made, 1440, 1000)
        made.get(serving.address)
        yield made


@pytest.fixture
def page(driver: Any, serving: browser.Laboratory) -> Iterator[browser.Page]:
    """The page. Afterwards: nothing was complained of, and nothing was asked of any other host."""
    browser.resize(driver, 1440, 1000)
    yield browser.Page(driver, serving.root)
    driver.get(serving.root)
    assert browser.complaints(driver) == []
    assert browser.hosts(browser.requests(driver)) == {"127.0.0.1"}
