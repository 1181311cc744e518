"""Each extra alone: an environment with it and nothing beside it, in which what it is for is run once.

    python tests/extras.py [EXTRA ...]        all extras, and the package without one ("none"), unless some are named

The package and what it depends on, torch among it, are not installed anew: they are linked into a folder, distribution by
distribution as their metadata require, from the environment that runs this script, and a .pth file puts that folder on the path.
pip then sees them as installed. What an extra declares is installed by pip into the extra's own environment. So an import of
anything that neither the package nor the extra declares fails.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]

NONE = """
import io, wave, numpy as np
from pathlib import Path
from zerosum import catalog
from zerosum.recipe import part
rows = np.random.default_rng(0).normal(size=(200, 2))
np.savetxt("points.csv", rows, delimiter=",", header="x,y", comments="")
Path("table.csv").write_text("a,b,c\\n" + "".join(f"{i % 7},{'xyz'[i % 3]},{i / 3:.3f}\\n" for i in range(200)))
np.save("clouds.npy", np.random.default_rng(0).normal(size=(20, 40, 3)))
np.savez("images.npz", images=np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8))
for i in range(12):
    Path("sounds").mkdir(exist_ok=True)
    with wave.open(f"sounds/{i}.wav", "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(np.random.default_rng(i).integers(-9999, 9999, 900 + i, dtype="<i2").tobytes())
kinds = {"points.csv": "toy", "table.csv": "tables", "clouds.npy": "points", "images.npz": "images", "digits": "images"}
kinds |= {"sounds": "audio"}
for where, name in kinds.items():
    found = catalog.recognise(where)
    assert found.name == name, (where, found.name)
    options = {"points": 32} if name == "points" else {}
    source, info = found.open(part(where, **options), False)
    assert source.num_rows > 10 and info.num_rows > 10
import zerosum as zs
run = zs.train("clouds.npy", out="run", overrides={"steps": 2, "data.points": 32})
run.sample(2, seed=0)
"""
LAB = """
import threading, urllib.request
from zerosum.lab.server import serving, need_extra
from zerosum.lab.settings import parse
from zerosum.lab.worker import Worker
need_extra()
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())  # the lab answers who keeps its cookie
with serving(Worker(parse({}))) as served:
    thread = threading.Thread(target=served.run, args=(lambda address: None,), daemon=True)
    thread.start()
    with browser.open(served.guard.address, timeout=60) as answer:
        assert answer.status == 200 and b"<html" in answer.read()
    served.stop()
    thread.join(60)
"""
TENSORBOARD = """
import zerosum as zs
from pathlib import Path
zs.train("digits", recipe="mlp", out="run", overrides={"steps": 3})
assert list(Path("run/tensorboard").glob("events.*"))
"""
WANDB = """
import os
import zerosum as zs
from pathlib import Path
os.environ["WANDB_MODE"] = "offline"
run = zs.train("ring", out="run", steps=2, log="wandb")
assert list(Path("run/wandb").glob("offline-run-*"))
"""
MLFLOW = """
import os
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
import mlflow, zerosum as zs
from pathlib import Path
mlflow.set_tracking_uri(Path("store").resolve().as_uri())
zs.train("ring", out="run", steps=2, log="mlflow")
client = mlflow.MlflowClient()
(found,) = client.search_runs([client.get_experiment_by_name("zerosum").experiment_id])
assert found.info.status == "FINISHED" and "discriminator/loss" in found.data.metrics
"""
ONNX = """
import zerosum as zs
from zerosum.__main__ import main
import sys
zs.train("digits", recipe="mlp", out="run", overrides={"steps": 2})
sys.argv = ["zerosum", "export", "run", "--format", "onnx"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
from pathlib import Path
assert list(Path("run/export-onnx").glob("*.onnx"))
"""
VIDEO = """
import numpy as np
from pathlib import Path
import zerosum as zs
from zerosum.domains.video import formats
rng = np.random.default_rng(0)
for i in range(4):
    Path("clips").mkdir(exist_ok=True)
    frames = np.repeat(rng.integers(0, 255, (20, 4, 4, 3), dtype=np.uint8), 4, 1).repeat(4, 2)
    Path(f"clips/{i}.mp4").write_bytes(formats.encode(iter(frames), ".mp4", 10))
run = zs.train("clips", out="run", overrides={"steps": 2, "data.frames": 6, "data.cuts": False})
run.sample(2, seed=0)
from zerosum.__main__ import main
import sys
sys.argv = ["zerosum", "sample", "run", "--num", "1", "--frames", "20", "--out", "one.webm"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
assert Path("one.webm").stat().st_size > 100
"""
MEDICAL = """
import nibabel, numpy as np, pydicom
from pathlib import Path
import zerosum as zs
from zerosum import catalog
from zerosum.domains.medical import dicom, files
from zerosum.domains.medical.geometry import Stored
rng = np.random.default_rng(0)
for i in range(6):
    Path("scans").mkdir(exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(rng.integers(0, 99, (12, 12, 8)).astype("int16"), np.eye(4)), f"scans/p{i}.nii.gz")
run = zs.train("scans", out="run", overrides={"steps": 2, "data.rows": "slices"})
run.sample(2, seed=0)
dicom.write(Path("series"), rng.integers(0, 99, (12, 12, 8)).astype("int16"), np.eye(4), Stored("int16"))
assert catalog.recognise("series").name == "medical"
assert files.load(Path("series")).scans[0].numbers.shape == (12, 12, 8)
"""
TABLES = """
import numpy as np, pandas
import zerosum as zs
rng = np.random.default_rng(0)
days = pandas.date_range("2021-01-01", periods=300)
frame = pandas.DataFrame({"a": rng.normal(size=300), "b": rng.choice(list("xyz"), 300), "c": days})
frame.to_parquet("table.parquet")
run = zs.train("table.parquet", out="run", overrides={"steps": 2})
from zerosum.__main__ import main
import sys
sys.argv = ["zerosum", "sample", "run", "--num", "20", "--out", "out.parquet"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
assert list(pandas.read_parquet("out.parquet").columns) == ["a", "b", "c"]
"""
POINTS = """
from pathlib import Path
import zerosum as zs
import trimesh
Path("shapes").mkdir()
for i, suffix in enumerate(("ply", "off", "stl", "obj")):
    trimesh.creation.box((1, 2, 3 + i)).export(f"shapes/{i}.{suffix}")
text = Path("shapes/3.obj").read_text()
Path("shapes/4.obj").write_bytes("# Möbel für das Büro, größer\\n".encode("latin-1") + text.encode())
trimesh.PointCloud(trimesh.creation.icosphere().vertices).export("shapes/5.ply")
run = zs.train("shapes", out="run", overrides={"steps": 2, "data.points": 32})
run.sample(2, seed=0)
from zerosum.domains.points import builtin_sources
assert builtin_sources.parametric_clouds("chair", 2, 32, 0).shape == (2, 32, 3)
"""
TEXTURES = """
from zerosum import catalog
from zerosum.recipe import part
source = catalog.domain("translation").data.open(part("textures", num=8, heldout=4, size=32), False)
assert source.num_rows == 8
"""
AUDIO = """
from pathlib import Path
import numpy as np, soundfile, zerosum as zs
from zerosum.__main__ import main
import sys
Path("sounds").mkdir()
rng = np.random.default_rng(0)
for i, (ending, rate) in enumerate((("wav", 16000), ("flac", 16000), ("ogg", 16000), ("mp3", 16000), ("aiff", 22050))):
    soundfile.write(f"sounds/{i}.{ending}", rng.uniform(-0.5, 0.5, (rate // 4, 1 + i % 2)), rate)
zs.train("sounds", out="run", overrides={"steps": 1})
sys.argv = ["zerosum", "sample", "run", "--num", "1", "--out", "out.flac"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
assert soundfile.info("out.flac").samplerate == 16000
"""
USES = {
    "none": NONE,
    "lab": LAB,
    "tensorboard": TENSORBOARD,
    "wandb": WANDB,
    "mlflow": MLFLOW,
    "onnx": ONNX,
    "tables": TABLES,
    "points": POINTS,
    "textures": TEXTURES,
    "audio": AUDIO,
    "video": VIDEO,
    "medical": MEDICAL,
}
"""What each extra is for, as a program."""


def _project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def declared() -> dict[str, list[str]]:
    """The packages of each extra that is no sum of others."""
    extras = _project()["optional-dependencies"]
    return {name: packages for name, packages in extras.items() if not any(p.startswith("zerosum[") for p in packages)}


def required(names: list[str]) -> set[str]:
    """These distributions and all that they require here without extras, by name."""
    found, left = set[str](), list(names)
    while left:
        one = canonicalize_name(Requirement(left.pop()).name)
        if one not in found:
            found.add(one)
            needs = map(Requirement, importlib.metadata.requires(one) or ())
            left += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found


def linked(names: set[str], place: Path) -> Path:
    """A folder with links to the packages of these distributions and to the files by which pip knows that they are installed."""
    place.mkdir()
    for name in names:
        found = importlib.metadata.distribution(name)
        tops = {file.parts[0] for file in found.files or () if not file.parts[0].endswith(".pth")}
        for top in tops - {"..", "__pycache__"}:
            (place / top).symlink_to(Path(str(found.locate_file(top))))
    return place


def environment(place: Path, *sees: Path) -> Path:
    """A new environment without packages that also finds those of these folders; its Python."""
    venv.create(place, with_pip=False, symlinks=True)
    packages = next((place / "lib").glob("python*")) / "site-packages"
    (packages / "linked.pth").write_text("".join(f"{folder}\n" for folder in sees))
    return place / "bin" / "python"


def install(python: Path, *wanted: str) -> None:
    """What is wanted, with the versions of constraints.txt."""
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), *wanted], check=True, timeout=600)


def use(python: Path, name: str, place: Path) -> None:
    """Runs the program of an extra in a folder of its own."""
    place.mkdir()
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    clean |= {"PYTHONNOUSERSITE": "1", "ZEROSUM_CACHE": str(place / "cache"), "MPLCONFIGDIR": str(place / "mpl")}
    program = place / "use.py"
    program.write_text(USES[name])
    subprocess.run([str(python), str(program)], cwd=place, env=clean, check=True, timeout=300)


def main(names: list[str]) -> None:
    """Tells the seconds that each took; the first that fails ends it."""
    extras = declared()
    assert set(extras) | {"none"} == set(USES), (
        f"an extra without a use, or a use without an extra: {set(extras) ^ set(USES)}"
    )
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        core = linked(required(_project()["dependencies"]), top / "core")
        for name in names or USES:
            begun = time.monotonic()
            python = environment(top / name, ROOT / "src", core)
            if name != "none":
                install(python, *extras[name])
            installed = time.monotonic() - begun
            use(python, name, top / f"use-{name}")
            print(
                f"{name}: {installed:.0f} s to install, {time.monotonic() - begun - installed:.0f} s to run", flush=True
            )


if __name__ == "__main__":
    main(sys.argv[1:])
