"""The prepared cache: the same rows as without it, whole or not there, made anew when stale, read with constant memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_making import make_tar, make_zip, noise, png, refused, save

from zerosum.data import progress
from zerosum.data.images import cache, loader, parallel_decode, prepare
from zerosum.data.images import loaded as image_types
from zerosum.data.images.loaded import ImageOptions
from zerosum.domains.images import DOMAIN
from zerosum.domains.images.data import ImageSource, open_source
from zerosum.engine.loop import Settings, TrainingLoop
from zerosum.errors import UserError


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every source is worth preparing, and mapped; the cache is a folder of the test."""
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "kept"))
    monkeypatch.setattr(loader, "MIN_CACHED_BYTES", 0)
    monkeypatch.setattr(cache, "RESIDENT_BYTES", 0)
    return tmp_path / "kept" / "images"


def photos(folder: Path, num: int = 60, classes: bool = True) -> Path:
    for i in range(num):
        save(folder / (("cat", "dog")[i % 2] if classes else "") / f"{i}.png", noise(12 + i % 3, 14, 3, seed=i))
    return folder


def same(one: ImageSource, other: ImageSource) -> None:
    assert one.fingerprint == other.fingerprint
    assert one.shape == other.shape
    assert one.class_names == other.class_names
    for a, b in zip((one.train, one.heldout, one.validation), (other.train, other.heldout, other.validation)):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert torch.equal(a.pixels, b.pixels)
            assert (a.labels is None) == (b.labels is None)
            assert a.labels is None or b.labels is None or torch.equal(a.labels, b.labels)


def folders(kept: Path) -> list[Path]:
    return sorted(path for path in kept.iterdir() if path.is_dir())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"heldout": 0.3, "validation": 0.2},
        {"flip": True, "heldout": 0.3, "labelled": False},
        {"size": (10, 8), "crop": "pad", "max_images": 40},
        {"channels": 1, "heldout": 0},
    ],
)
def test_same_rows_with_and_without(tmp_path: Path, options: dict[str, Any]) -> None:
    path = str(photos(tmp_path / "photos"))
    plain, made, again = (open_source(path, cache=on, **options) for on in (False, True, True))
    assert not plain.mapped
    assert made.mapped
    assert again.mapped
    same(plain, made)
    same(plain, again)
    assert made.notes == again.notes
    assert set(plain.notes) < set(made.notes)
    assert any("are kept in" in note and "images/s" in note for note in made.notes)
    rows = torch.tensor([3, 0, plain.num_rows - 1])
    torch.testing.assert_close(plain.batch(rows).data, again.batch(rows).data, rtol=0, atol=0)


def test_same_rows_of_zip_shards_split_and_grey(tmp_path: Path) -> None:
    members = {
        f"{top}/{i}.png": png(9, 9, seed=i) for top, start in (("train", 0), ("test", 40)) for i in range(start, 50)
    }
    for path in (make_zip(tmp_path / "a.zip", members), make_tar(tmp_path / "a.tar", members)):
        plain, made = (open_source(str(path), cache=on) for on in (False, True))
        same(plain, made)
        assert made.num_heldout == 10
    for i in range(30):  # grey, stored in colour
        save(tmp_path / "grey" / f"{i}.png", np.repeat(noise(9, 9, 1, seed=i), 3, axis=2))
    plain, made = (open_source(str(tmp_path / "grey"), cache=on) for on in (False, True))
    same(plain, made)
    assert made.shape.channels == 1
    assert any("All images are grey" in note for note in made.notes)


def test_small_sources_leave_nothing_behind(tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "MIN_CACHED_BYTES", 10**7)
    assert not open_source(str(photos(tmp_path / "photos"))).mapped
    assert not kept.exists()


def test_medium_sources_are_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "RESIDENT_BYTES", 10**7)
    path = str(photos(tmp_path / "photos"))
    source = open_source(path)
    assert not source.mapped
    same(source, open_source(path, cache=False))


def test_the_number_of_workers_changes_nothing(tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(photos(tmp_path / "photos"))
    sums = set()
    for workers in (1, 5):
        monkeypatch.setattr(parallel_decode, "workers", lambda workers=workers: workers)
        monkeypatch.setattr(parallel_decode, "WINDOW", 7 * workers)
        monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / str(workers)))
        open_source(path)
        (folder,) = folders(tmp_path / str(workers) / "images")
        sums.add(json.loads((folder / cache.MANIFEST).read_text())["sha256"])
    assert len(sums) == 1


def test_progress_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    path = str(photos(tmp_path / "photos", 20))
    open_source(path, cache=False)
    assert capsys.readouterr().err == ""  # nothing took long
    monkeypatch.setattr(progress, "FIRST_REPORT_S", 0.0)
    monkeypatch.setattr(progress, "REPORT_EVERY_S", 0.0)
    open_source(path)
    lines = [line for line in capsys.readouterr().err.splitlines() if "preparing" in line]
    assert len(lines) == 19
    assert f"{path}: preparing: 10 of 20 images, " in lines[9]
    assert "images/s, about " in lines[9]


def changed(path: Path) -> None:
    save(path / "cat" / "0.png", noise(12, 14, 3, seed=99))


def removed(path: Path) -> None:
    (path / "dog" / "1.png").unlink()


def added(path: Path) -> None:
    save(path / "dog" / "new.png", noise(12, 14, 3, seed=98))


@pytest.mark.parametrize("change", [changed, removed, added])
def test_stale_is_seen(tmp_path: Path, kept: Path, change: Callable[[Path], None], capsys: Any) -> None:
    path = photos(tmp_path / "photos")
    before = open_source(str(path))
    change(path)
    after = open_source(str(path))
    assert after.fingerprint != before.fingerprint
    same(after, open_source(str(path), cache=False))
    assert any("prepared again: files of the source were added, changed or removed" in note for note in after.notes)
    assert "prepared again" in capsys.readouterr().err
    assert len(folders(kept)) == 1
    assert not any("prepared again" in note for note in open_source(str(path)).notes)


def flip_byte(folder: Path) -> None:
    data = bytearray((folder / cache.PIXELS).read_bytes())
    data[-100] ^= 1
    (folder / cache.PIXELS).write_bytes(data)


def cut_short(folder: Path) -> None:
    os.truncate(folder / cache.PIXELS, 1000)


def other_order(folder: Path) -> None:
    np.save(folder / cache.ORDER, np.load(folder / cache.ORDER)[::-1])


def no_manifest(folder: Path) -> None:
    (folder / cache.MANIFEST).unlink()


def edited_manifest(folder: Path) -> None:
    text = (folder / cache.MANIFEST).read_text()
    (folder / cache.MANIFEST).write_text(
        text.replace('"heldout": 5', '"heldout": 4').replace('"train": ', '"train": 1')
    )


@pytest.mark.parametrize("damage", [flip_byte, cut_short, other_order, no_manifest, edited_manifest])
def test_damage_is_seen(tmp_path: Path, kept: Path, damage: Callable[[Path], None]) -> None:
    path = str(photos(tmp_path / "photos"))
    before = open_source(path)
    (folder,) = folders(kept)
    damage(folder)
    after = open_source(path)
    assert any("were prepared again" in note for note in after.notes)
    same(after, open_source(path, cache=False))
    assert after.fingerprint == before.fingerprint
    assert folders(kept) == [folder]


def test_hashes_of_a_large_array_are_checked_at_even_distances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "BLOCK_BYTES", 100)
    monkeypatch.setattr(cache, "MAX_BLOCKS", 4)
    path = tmp_path / "a"
    path.write_bytes(bytes(950))
    blocks = cache.block_hashes(path)
    assert len(blocks) == 10
    cache._check_blocks(path, 950, blocks)
    for at, seen in ((0, True), (310, True), (949, True), (150, False)):
        data = bytearray(950)
        data[at] = 1
        path.write_bytes(data)
        if seen:
            with pytest.raises(cache.UnusableCache, match="SHA-256"):
                cache._check_blocks(path, 950, blocks)
        else:
            cache._check_blocks(path, 950, blocks)


def test_bad_images_stop_or_are_skipped(tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = photos(tmp_path / "photos", 200)
    whole = (path / "cat" / "0.png").read_bytes()
    (path / "cat" / "0.png").write_bytes(whole[: len(whole) // 2])  # its header is good
    (path / "dog" / "1.png").write_text("no image")
    refused(path, "2 of 200 images cannot be used", "cat/0.png", "dog/1.png", "Up to 1% can be left out")
    refused(path, "2 of 200 images cannot be used", cache=False)
    refused(path, "2 of 200 images cannot be used", "dog/1.png", size=(8, 8), channels=3)  # no headers are looked at
    assert [path for path in kept.glob("*") if path.is_dir()] == []  # nothing was made
    plain, made = (open_source(str(path), on_bad="skip", cache=on) for on in (False, True))
    same(plain, made)
    assert plain.num_rows + plain.num_heldout == 198
    for source in (plain, made):
        assert any("2 of 200 images cannot be used and are left out" in note for note in source.notes)
    two = tmp_path / "two"
    save(two / "a.png", noise(8, 8))
    (two / "b.png").write_text("no image")
    refused(two, "fewer than 2 usable training images", on_bad="skip")
    monkeypatch.setattr(parallel_decode, "MAX_SKIPPED", 0.005)
    for on in (False, True):
        refused(path, "2 of 200", "are never left out", on_bad="skip", cache=on, heldout=0.2)


def test_a_resumed_game_reads_the_same_rows_from_the_cache(tmp_path: Path) -> None:
    """Two steps, then two more with the source opened anew from the cache, are bit-equal to four without a cache."""
    path = str(photos(tmp_path / "photos"))

    def played(steps: int, source: ImageSource, state: dict[str, Any] | None = None) -> TrainingLoop:
        recipe = DOMAIN.recipes.table["dcgan"].changed(
            batch=8, generator={"kind": "conv", "width": 8}, conditional=False
        )
        match = TrainingLoop(DOMAIN.game.build(recipe, DOMAIN.info_of(source)), source, Settings(batch=8))
        if state is not None:
            match.load_state_dict(state)
        for _ in match.run(steps):
            pass
        return match

    options: dict[str, Any] = {"size": (8, 8), "flip": True}
    whole = played(4, open_source(path, cache=False, **options))
    first = played(2, open_source(path, **options))
    second = played(4, open_source(path, **options), first.state_dict())
    for name, network in whole.game.players.items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, second.game.players[name].state_dict()[key]), key


def test_a_cache_that_cannot_be_written(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    path = str(photos(tmp_path / "photos"))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "file"))
    same(open_source(path), open_source(path, cache=False))
    assert "ZEROSUM_CACHE" in capsys.readouterr().err
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "kept"))
    monkeypatch.setattr(prepare.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=10))
    same(open_source(path), open_source(path, cache=False))  # fits into memory
    assert "0 MiB free), so they are read into memory" in capsys.readouterr().err
    monkeypatch.setattr(image_types, "MAX_BYTES", 100)
    with pytest.raises(UserError, match="Name another folder with ZEROSUM_CACHE"):
        open_source(path)
    assert [entry.name for entry in kept.iterdir() if entry.is_dir()] == []


# --- other processes


PROGRAM = """
import sys, time
from zerosum.data.images import cache, loader, parallel_decode
from zerosum.domains.images.data import open_source
loader.MIN_CACHED_BYTES = cache.RESIDENT_BYTES = 0
slow, path = float(sys.argv[1]), sys.argv[2]
decode, decoded = parallel_decode.decode, []
def slowly(*args):
    time.sleep(slow)
    decoded.append(1)
    return decode(*args)
parallel_decode.decode = slowly
source = open_source(path, heldout=0.1)
print(source.fingerprint, len(decoded))
"""


def start(path: Path, slow: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(slow), str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(found: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_killed_while_preparing(tmp_path: Path, kept: Path) -> None:
    path = photos(tmp_path / "photos")
    process = start(path, slow=0.2)
    wait_for(lambda: any(kept.glob(".*.part/decoded")))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert [entry.name for entry in kept.iterdir() if not entry.name.startswith(".")] == []
    source = open_source(str(path))
    same(source, open_source(str(path), cache=False))
    assert [entry for entry in kept.iterdir() if entry.name.endswith(".part")] == []


def test_two_processes_prepare_once(tmp_path: Path, kept: Path) -> None:
    """Both find the lock taken, and wait; once it is free, one prepares and the other reads what it made."""
    path = photos(tmp_path / "photos")
    with cache.lock_folder(cache.folder_of(path, ImageOptions(heldout=0.1))):
        processes = [start(path, slow=0) for _ in range(2)]
        lines = [process.stderr.readline() for process in processes if process.stderr]
    out = [process.communicate(timeout=100)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert all("another process is preparing these images" in line for line in lines)
    assert {words[0] for words in out} == {open_source(str(path), cache=False).fingerprint}
    assert sorted(int(words[1]) for words in out) == [0, 60]
    (folder,) = folders(kept)
    assert {entry.name for entry in folder.iterdir()} == {cache.PIXELS, cache.ORDER, cache.MANIFEST}


MEASURED = """
import sys, re
import torch
from zerosum.domains.images.data import open_source
from zerosum.data.images import cache
cache.RESIDENT_BYTES = 0
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
before = peak()
made, found = (open_source(sys.argv[1], heldout=0.1) for _ in range(2))
data = found.batch(torch.arange(0, found.num_rows, 100)).data
print(made.mapped, made.fingerprint == found.fingerprint, found.train.pixels.numel() / 2**20, peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measured by way of /proc")
def test_memory_does_not_grow_with_the_source(tmp_path: Path) -> None:
    """Tars of 150 MiB of pixels are prepared, found again and read within a bound that they could not be held in."""
    shards = tmp_path / "shards"
    for shard in range(4):
        pixels = noise(256, 256, 3, seed=shard).tobytes()
        rows = {f"{shard}-{i}.ppm": b"P6 256 256 255\n" + i.to_bytes(2, "big") + pixels[2:] for i in range(200)}
        make_tar(shards / f"{shard}.tar", rows)
    done = subprocess.run([sys.executable, "-c", MEASURED, str(shards)], capture_output=True, text=True, check=True)
    mapped, equal, size, grown = done.stdout.split()
    assert (mapped, equal) == ("True", "True")
    assert float(size) > 130
    assert float(grown) < 80  # 42 were measured
