"""Two processes that play every small game, started once for all tests that look at what they wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor

from process_pair import played_in_two


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    """What each of two processes wrote."""
    return played_in_two(Path(__file__).with_name("domain_games.py"), tmp_path_factory.mktemp("two"), 300)
