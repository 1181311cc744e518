"""`zerosum export`: writes a generator in another format, holds it against the original, and says how far they differ."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zerosum
from zerosum.errors import UserError
from zerosum.generation.export import huggingface
from zerosum.generation.export.formats import FORMATS, TOLERANCE
from zerosum.generation.export.program import (
    NOISE,
    SAMPLES,
    Program,
    check_copy,
    condition_name,
    describe_program,
    dynamic_batch,
    example_arguments,
)
from zerosum.generation.sampler import TrainedGenerator
from zerosum.store import write_durably, writing

OPSET, CARD = 18, "generator.json"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""What terminals take for colours."""
OWN_REASON = re.compile(r"raised exception \w+\((['\"])(.*)\1\)")
"""How torch.export quotes an error that the network raises."""


@dataclass(frozen=True)
class Export:
    """The files written, and the check: the largest difference found, the tolerance, the sizes of the batches, by what."""

    paths: list[Path]
    check: Mapping[str, Any]


def export(generator: TrainedGenerator, kind: str, out: Path, licence: str | None = None) -> Export:
    """Writes the run's generator into the folder `out`. kind: torch (generator.pt2), onnx (generator.onnx), huggingface.

    The files are written aside, loaded again, compared with the original on several batches, and kept only within the
    tolerance; after an error nothing is left in `out`. The batch size stays free. UserError for an unknown kind, a missing
    package, and a copy that differs.
    """
    if kind not in FORMATS:
        raise UserError(f"--format {kind}: choose {', '.join(FORMATS)}.")
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; an export needs a folder.")
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"--out {out} is not empty, and nothing in it is overwritten. Give a new folder.")
    with writing(Path(os.path.abspath(out))) as aside:
        aside.mkdir(exist_ok=True)
        hub = kind == "huggingface"
        names, found = huggingface.write(generator, aside, licence) if hub else _export_to_file(generator, kind, aside)
    return Export([out / name for name in names], found)


def _export_to_file(generator: TrainedGenerator, kind: str, out: Path) -> tuple[list[str], Mapping[str, Any]]:
    """The names of the files written into `out`, and the check."""
    write, load, name = {
        "torch": (_write_torch, _load_torch, "generator.pt2"),
        "onnx": (_write_onnx, _load_onnx, "generator.onnx"),
    }[kind]
    about = {"made_by": f"zerosum {zerosum.__version__}", "format": kind, **describe_program(generator)}
    if kind == "onnx":
        about["opset"] = OPSET
    with _explain_errors(generator, kind), _quiet_exporters():
        write(generator, out / name, about)
        copy, by = load(out / name)
    found = {**check_copy(generator, copy, TOLERANCE[kind]), "by": by}
    card = json.dumps({**about, "check": found}, indent=1, ensure_ascii=False) + "\n"
    write_durably(out / CARD, card.encode())
    return [name, CARD], found


# --- torch.export


def _export_program(generator: TrainedGenerator) -> torch.export.ExportedProgram:
    arguments = example_arguments(generator.sampler, 2, 0)
    program = Program(generator).eval()
    with torch.no_grad():
        # strict: it reads the source, where len(noise) is the free batch; a mere trace would freeze it.
        return torch.export.export(program, arguments, dynamic_shapes=dynamic_batch(arguments), strict=True)


def _write_torch(generator: TrainedGenerator, path: Path, about: Mapping[str, Any]) -> None:
    held, program = io.BytesIO(), _export_program(generator)
    for part in program.graph_module.modules():
        if isinstance(part, torch.fx.GraphModule) and part is not program.graph_module:
            for node in part.graph.nodes:  # the writer fails at what torch.export notes in the body of a loop
                node.meta.pop("nn_module_stack", None)
    # Into a file the C++ writer would write itself, and abort the process on a full disk.
    torch.export.save(program, held, extra_files={CARD: json.dumps(about)})
    write_durably(path, held.getvalue())


def _load_torch(path: Path) -> tuple[Callable[..., Tensor], str]:
    with open(path, "rb") as file:
        module = torch.export.load(file).module()
    return torch.no_grad()(module), f"torch {torch.__version__}"


# --- ONNX


def _write_onnx(generator: TrainedGenerator, path: Path, about: Mapping[str, Any]) -> None:
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"--format onnx needs the package {error.name}: pip install 'zerosum[onnx]'. Without it: --format torch."
        ) from None
    condition = condition_name(generator.sampler)
    torch.onnx.export(
        _export_program(generator),
        (),
        str(path),
        input_names=[NOISE, *([condition] if condition else [])],
        output_names=[SAMPLES],
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in about.items()})
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _load_onnx(path: Path) -> tuple[Callable[..., Tensor], str]:
    """Run by onnxruntime where it is installed, else by the reference evaluator of onnx."""
    try:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names, by = [given.name for given in session.get_inputs()], f"onnxruntime {onnxruntime.__version__}"
    except ImportError:
        import onnx
        from onnx.reference import ReferenceEvaluator

        session = ReferenceEvaluator(str(path))
        names, by = session.input_names, f"the reference evaluator of onnx {onnx.__version__}"

    def generator(*arguments: Tensor) -> Tensor:
        fed = {name: argument.numpy() for name, argument in zip(names, arguments, strict=True)}
        return torch.from_numpy(session.run(None, fed)[0])

    return generator, by


@contextlib.contextmanager
def _explain_errors(generator: TrainedGenerator, kind: str) -> Iterator[None]:
    """Turns the many kinds of errors that exporters raise into one that names the network and the first reason."""
    try:
        yield
    except (UserError, OSError):
        raise
    except Exception as error:
        text = COLOURS.sub("", str(error)).strip()
        own = OWN_REASON.search(text)
        reason = own.group(2) if own else (text.splitlines() or [type(error).__name__])[0]
        raise UserError(f"{type(generator.sampler.network).__name__} cannot be exported as {kind}: {reason}") from error


@contextlib.contextmanager
def _quiet_exporters() -> Iterator[None]:
    """The exporters' progress and warnings are for their makers; what matters here is the check."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
