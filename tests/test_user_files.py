"""Files of the user: whole or not there, of a bearable size; streams of any encoding, or closed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import infos
from zerosum import catalog
from zerosum.cli import app
from zerosum.errors import UserError
from zerosum.generation.latents.sampling import SampleOptions, make_samples
from zerosum.generation.sampler import check_num_samples, write_samples
from zerosum.store import writing


def full(place: Path) -> None:
    place.write_bytes(b"half")
    raise OSError(28, "No space left on device")


def interrupted(place: Path) -> None:
    place.write_bytes(b"half")
    raise KeyboardInterrupt


def test_nothing_lies_under_the_final_name_before_all_is_written(tmp_path: Path) -> None:
    target = tmp_path / "new" / "x.png"
    with pytest.raises(UserError, match=f"Cannot write {target}: No space left on device"), writing(target) as aside:
        full(aside)
    assert aside.name == "x.png"
    assert list(target.parent.iterdir()) == []
    with pytest.raises(UserError, match=f"^--out {target}: cannot"), writing(target) as aside:
        raise UserError(f"--out {aside}: cannot")
    with pytest.raises(KeyboardInterrupt), writing(target) as aside:
        interrupted(aside)
    assert list(target.parent.iterdir()) == []
    target.write_bytes(b"old")
    with writing(target) as aside:
        aside.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


def test_several_files_and_folders_come_to_lie_where_they_were_asked_for(tmp_path: Path) -> None:
    def numbered(samples: Any, path: Path, info: Any, form: Any) -> list[Path]:
        if path.suffix:
            paths = [path.with_name(f"{path.stem}-{i}{path.suffix}") for i in range(2)]
        else:
            path.mkdir()
            paths = [path / "0.ply", path / "1.ply"]
        for one in paths:
            one.write_bytes(b"a")
        return paths

    run: Any = SimpleNamespace(
        domain=SimpleNamespace(media=SimpleNamespace(write=numbered, sound=None)),
        sampler=SimpleNamespace(info=infos.of_images(8)),
        card_read=contextlib.nullcontext,
    )
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "kept.txt").write_text("kept")
    assert write_samples(run, torch.zeros(2), tmp_path / "s.ply") == [tmp_path / "s-0.ply", tmp_path / "s-1.ply"]
    assert write_samples(run, torch.zeros(2), tmp_path / "many") == [
        tmp_path / "many" / "0.ply",
        tmp_path / "many" / "1.ply",
    ]
    there = sorted(path.name for path in tmp_path.rglob("*"))
    assert there == ["0.ply", "1.ply", "kept.txt", "many", "s-0.ply", "s-1.ply"]


def test_one_picture_of_very_many_samples_is_refused_with_its_size() -> None:
    tile = catalog.domain("images").media.tile
    run: Any = SimpleNamespace(
        sampler=SimpleNamespace(info=infos.of_images(8)),
        domain=SimpleNamespace(media=SimpleNamespace(tile=tile, preview_ending=".png", draws=True)),
        card_read=contextlib.nullcontext,
    )
    check_num_samples(run, 10_000, Path("x.png"))
    check_num_samples(run, 1_000_000, Path("folder"))
    check_num_samples(run, 1_000_000, Path("x.npy"))
    with pytest.raises(
        UserError, match=r"100,000 samples would have about 17,696 x 17,752 pixels.*--out x\) for single"
    ):
        check_num_samples(run, 100_000, Path("x.png"))
    check_num_samples(run, 100, Path("x.png"), options={"size": "1000"})
    with pytest.raises(UserError, match="101 samples would have about 10,000 x 11,000 pixels"):
        check_num_samples(run, 101, Path("x.png"), options={"size": "1000"})
    with pytest.raises(UserError, match="--size 0: give the pixels"):  # for every kind of file
        check_num_samples(run, 1, Path("folder"), options={"size": "0"})


@pytest.mark.parametrize("name", ["images", "points"])
def test_every_domain_whose_pictures_grow_refuses_huge_ones(name: str) -> None:
    """Before they are made: of plain samples and of a grid of classes."""
    info = infos.of_images(8, condition=infos.classes(10))
    run: Any = SimpleNamespace(
        sampler=SimpleNamespace(info=info, conditional=True),
        classes=torch.tensor,
        domain=catalog.domain(name),
        card_read=contextlib.nullcontext,
    )
    with pytest.raises(UserError, match="one picture of 100,000 samples would have about"):
        make_samples(run, SampleOptions(100_000), Path("x.png"))
    with pytest.raises(UserError, match="one picture of 100,000 samples would have about"):
        make_samples(run, SampleOptions(10_000, grid="classes"), Path("x.png"))


def test_a_number_below_one_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["sample", str(tmp_path), "--num", "-3"])
    assert result.exit_code == 2
    assert "should be greater than or equal to 1" in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize("close", ["", "2>&-", ">&-", ">&- 2>&-"])
def test_streams_of_any_encoding_or_closed(close: str) -> None:
    """The é of Fréchet on a stream that has none; a closed stream drops what it is told, and results stay results."""
    code = (
        "import sys\nfrom zerosum.cli import common\nfrom zerosum.cli.common import print_message, show\n"
        "common._open_streams()\nprint_message('Fr\\u00e9chet')\nshow({'a': 'b'}, False, 'Fr\\u00e9chet')\n"
        "show({'a': '\\u00e9'}, True)\nsys.stderr.isatty()\n"
    )
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {close}', sys.executable, code],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "cp932"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (b"" if close.startswith(">&-") else b'Fr?chet\n{\n "a": "\\u00e9"\n}\n')
    assert done.stderr == (b"" if "2>&-" in close else b"Fr?chet\n")
