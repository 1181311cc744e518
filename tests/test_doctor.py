"""What `zerosum doctor` says of machines that are not this one."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from zerosum import machine as doctor


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that are read: cpuinfo of a CPU without AMX, a torch for the CPU."""
    (tmp_path / "cpuinfo").write_text("processor : 0\nflags\t\t: fpu avx512f avx512_bf16\n")
    (tmp_path / "version.py").write_text("__version__ = '2.13.0'\ncuda: str | None = None\n")
    spec = ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(doctor, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: spec)
    return tmp_path


def test_a_cpu_without_amx(machine: Path) -> None:
    found = doctor.examine()
    assert [found[name] for name in ("device", "cpu bfloat16 by AMX", "precision chosen")] == ["cpu", "no", "float32"]


def test_a_cpu_with_amx(machine: Path) -> None:
    (machine / "cpuinfo").write_text("processor : 0\nflags\t\t: amx_bf16 avx512f amx_tile amx_int8\n")
    found = doctor.examine()
    assert [found[name] for name in ("cpu bfloat16 by AMX", "precision chosen")] == ["yes", "bfloat16"]


def test_a_system_without_cpuinfo(machine: Path) -> None:
    (machine / "cpuinfo").unlink()
    assert doctor.examine()["cpu bfloat16 by AMX"] == "no"


@pytest.mark.parametrize(("capability", "precision"), [(7, "float32"), (8, "bfloat16"), (9, "bfloat16")])
def test_a_gpu(machine: Path, monkeypatch: pytest.MonkeyPatch, capability: int, precision: str) -> None:
    (machine / "version.py").write_text("cuda: str | None = '13.0'\n")
    monkeypatch.setattr(doctor, "_gpu", lambda: ("A card", capability))
    found = doctor.examine()
    assert (found["device"], found["precision chosen"]) == ("A card", precision)


@pytest.mark.parametrize("written", ["cuda = None\n", "cuda: str | None = None\n", "", "cuda = (\n"])
def test_a_gpu_is_of_no_use_to_a_torch_for_the_cpu(
    machine: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    (machine / "version.py").write_text(written)
    monkeypatch.setattr(doctor, "_gpu", lambda: ("A card", 9))
    assert doctor.examine()["device"] == "cpu"


def test_threads_and_folders_come_from_the_environment(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("ZEROSUM_DATA", "/data")
    found = doctor.examine()
    assert (found["threads"], found["data folder (ZEROSUM_DATA)"]) == ("3 (OMP_NUM_THREADS)", "/data")
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.delenv("ZEROSUM_DATA")
    found = doctor.examine()
    assert found["threads"] == f"{len(os.sched_getaffinity(0))} at most"
    assert found["data folder (ZEROSUM_DATA)"] == "not set"


def test_packages_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise doctor.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "version", missing)
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    found = doctor.examine()
    assert (found["torch"], found["device"]) == ("missing", "cpu")
    assert found["extra [tensorboard]"] == "missing: pip install 'zerosum[tensorboard]'"


def test_a_broken_torch_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(
        "raise ImportError('libtorch_cpu.so: cannot open shared object file')"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "zerosum", "doctor"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    assert "precision chosen" in done.stdout
