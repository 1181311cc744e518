"""Golden runs: are the numbers of a training bit-equal before and after a change?

    python benchmarks/golden.py record FILE [--short]    # before the change
    python benchmarks/golden.py compare FILE [--short]   # after it: exit status 1 and a list when anything differs

Every recipe trains 6 steps; one run of each kind of game trains to its end. For each run the file holds the SHA-256 digests
of the tensors of the published generator and of the newest checkpoint, and the values of the final evaluation. The digests are
sorted, so renaming a layer changes nothing and changing one bit of one weight does. Only the command line is used, so the
script compares versions whose modules have other names. Digests hold for one machine and one build of torch: a file is kept
for the time of a change and never committed. --short leaves out the runs to the end.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from safetensors.numpy import load_file

PROCESSES = 2
ENDS = {
    "digits to its end": ["digits", "--steps", "600"],
    "ring to its end": ["ring", "--steps", "1500"],
    "wine to its end": ["wine", "--steps", "400"],
    "chairs to its end": ["chairs", "--steps", "300", "--set", "batch=16"],
    "translation to its end": ["digit-outlines", "--steps", "120"],
}
MISSING = {"mnist", "fashion-mnist", "cifar10", "olivetti-faces", "stacked-mnist", "modelnet10-chairs"}
"""Sources that need a download: digits in their place."""


def runs(short: bool) -> dict[str, list[str]]:
    """Name of a run -> the arguments of `zerosum train`."""
    recipes = json.loads(output(["recipes", "--json"]))
    plans = {}
    for name, recipe in recipes.items():
        source = recipe["data"]["kind"]
        source = "digits" if source in MISSING else source
        plans[name] = [source, "--recipe", name, "--steps", "6", "--set", "batch=8"]
    return plans if short else plans | ENDS


def output(arguments: list[str]) -> str:
    done = subprocess.run([sys.executable, "-m", "zerosum", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"zerosum {' '.join(arguments)}: {done.stderr[-2000:]}")
    return done.stdout


def digests(file: Path) -> list[str]:
    """One digest a tensor, sorted: independent of the names of layers."""
    return sorted(
        hashlib.sha256(f"{t.dtype}{t.shape}".encode() + t.tobytes()).hexdigest()[:16] for t in load_file(file).values()
    )


def one(arguments: list[str]) -> dict[str, object]:
    """Trains in a folder of its own and returns the digests and the measured values."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        output(["train", *arguments, "--set", "threads=1", "--set", "seed=3", "--out", str(out)])
        files = sorted([*out.glob("generator.safetensors"), *out.glob("checkpoints/*/*.safetensors")])
        newest = [file for file in files if file.parent.name == max(f.parent.name for f in files if f.parent != out)]
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        measured = [record["value"] for line in lines if line["kind"] == "evaluation" for record in line["records"]]
        return {
            "weights": {file.name: digests(file) for file in [out / "generator.safetensors", *newest]},
            "values": measured,
        }


def main() -> None:
    verb, where = sys.argv[1], Path(sys.argv[2])
    plans = runs("--short" in sys.argv)
    with ThreadPoolExecutor(PROCESSES) as pool:
        found = dict(zip(plans, pool.map(one, plans.values()), strict=True))
    if verb == "record":
        where.write_text(json.dumps(found, indent=1), encoding="utf-8")
        return
    before = json.loads(where.read_text(encoding="utf-8"))
    differing = [name for name in found if found[name] != before.get(name)]
    for name in differing:
        kinds = ["weights", "values"] if isinstance(found[name], dict) and isinstance(before.get(name), dict) else []
        print(f"{name} differs: {[kind for kind in kinds if found[name][kind] != before[name][kind]]}")  # type: ignore[index]
    print(f"{len(found) - len(differing)} of {len(found)} runs are bit-equal.")
    raise SystemExit(1 if differing else 0)


if __name__ == "__main__":
    main()
