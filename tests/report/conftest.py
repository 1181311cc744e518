"""A small run folder with everything in it, and strings that try to break out of the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

NASTY = "</script><script>alert('x')</script>"
FINDINGS = [
    {"level": "ok", "title": "Finite", "sentence": "All finite.", "evidence": "300 steps", "advice": ""},
    {"level": "warning", "title": "Gap", "sentence": "D memorises.", "evidence": "0.2", "advice": "Stop."},
    {"level": "alarm", "title": "Collapse", "sentence": "Fakes look alike.", "evidence": "0.1", "advice": "Add R1."},
]


def log_lines(num_steps: int) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for step in range(1, num_steps + 1):
        values = {"discriminator/loss": 1.0 + step, "generator/loss": 2.0, "V": -1.0, "D(x)": 0.6, "D(G(z))": 0.4}
        values |= {"discriminator/r1": 0.1, "discriminator/gradient_norm": 1.0, "lr/generator": 1e-3}
        lines.append({"step": step, "samples": step * 8, "seconds": step, "kind": "train", "values": values})
    edges = [0.0, 0.5, 1.0]
    lines.append({"step": 1, "kind": "scores", "train": [1, 3], "heldout": [2, 2], "fake": [4, 0], "edges": edges})
    lines.append({"step": 1, "kind": "health", "values": {"diversity": 0.5}, "findings": FINDINGS[2:]})
    lines.append({"step": num_steps, "kind": "health", "values": {"diversity": 0.7}, "findings": FINDINGS})
    record = {"name": "frechet_digits", "value": 6.25, "better": "lower", "meaning": "A distance.", "reference": 3.5}
    records = [record | {"protocol": {"num_fake": 2000, "split": "train"}}]
    lines.append({"step": num_steps, "kind": "evaluation", "records": records})
    return lines


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = tmp_path / "digits"
    (run / "previews").mkdir(parents=True)
    source = {"name": "digits", "num_rows": 80, "num_heldout": 8, "notes": [NASTY]}
    source["condition"] = {"kind": "classes", "names": ["0", NASTY]}
    save(run / "run.json", {"format": 1, "name": "digits", "plan": NASTY, "device": "cpu", "source": source})
    sources = ["Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661."]
    save(run / "recipe.json", {"name": "mlp", "why": "Small.", "sources": sources, "loss": {"name": NASTY}, "seed": 3})
    status = {"state": "finished", "step": 300, "steps": 300, "seconds": 75.0, "samples": 2400}
    save(run / "status.json", status | {"resume": "zerosum resume 'runs/my digits'"})
    save(run / "references.json", {"V": {"value": -1.3863, "label": "-log 4 " + NASTY}})
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log_lines(300)))
    for step in (0, 100, 300):
        Image.new("L", (16, 8), step % 256).save(run / "previews" / f"step-{step:08d}.png")
    Image.new("L", (16, 8), 9).save(run / "previews" / "real.png")
    return run


def save(path: Path, value: object) -> None:
    path.write_text(json.dumps(value))
