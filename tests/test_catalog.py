"""What a word on the command line means: a source's name before any folder of that name; a run folder is no data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from zerosum import catalog
from zerosum.errors import UserError


def test_a_name_means_the_source_whatever_folder_bears_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Path("ring").mkdir()
    Image.new("L", (8, 8)).save("ring/picture.png")
    assert catalog.recognise("ring").name == "toy"
    assert catalog.recognise("./ring").name == "images"
    assert catalog.recognise("digits").name == "images"


def test_what_is_known_without_torch_is_what_the_domains_say() -> None:
    written = json.loads((Path(catalog.__file__).parent / catalog.FILE).read_text(encoding="utf-8"))
    assert written == catalog.summary(), "write the file anew: python -m zerosum.catalog"


def test_a_run_folder_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UserError, match="is the folder of a run, not data"):
        catalog.recognise(str(tmp_path))


def test_a_path_that_looks_like_a_domains_data_is_answered_by_it_alone(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "bad.zip").write_text("?")
    np.save(tmp_path / "cloud.npy", np.zeros((50, 3)))
    (tmp_path / "sides" / "A").mkdir(parents=True)
    (tmp_path / "sides" / "B").mkdir()
    named = {"empty.csv": "tables", "bad.zip": "images", "cloud.npy": "points", "sides": "translation"}
    for name, domain in named.items():
        assert catalog.recognise(str(tmp_path / name)).name == domain


def test_an_array_of_no_domain_and_an_empty_folder_are_told_in_their_own_words(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", np.zeros(5))
    with pytest.raises(UserError, match=r"holds an array of shape \(5,\).*\n.*images.*\n.*\(N, P, 3\)"):
        catalog.recognise(str(tmp_path / "flat.npy"))
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="is an empty folder: put the data into it"):
        catalog.recognise(str(tmp_path / "none"))


def test_what_is_no_data_is_told_briefly(tmp_path: Path) -> None:
    """The nearest names only, and what each domain reads, in its own words."""
    with pytest.raises(UserError) as caught:
        catalog.recognise("digist/")
    message = str(caught.value)
    assert "'digist/' is no named source, and no data that can be read: there is no such file or folder." in message
    assert "Did you mean 'digits'" in message
    for name in catalog.domain_names():
        assert f"  {name}: {catalog.domain(name).summary}" in message
    assert "olivetti-faces" not in message
    (tmp_path / "xyzzy.qqq").write_text("?")
    with pytest.raises(UserError) as caught:
        catalog.recognise(str(tmp_path / "xyzzy.qqq"))
    assert "can be read. What can be trained on" in str(caught.value)
    assert "Did you mean" not in str(caught.value)
