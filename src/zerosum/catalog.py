"""Names of domains, recipes and sources. A domain is imported only when it is chosen."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zerosum import domains, known
from zerosum.data import numpy_files
from zerosum.data.opening import is_regular, path_of
from zerosum.domain import Domain
from zerosum.errors import UserError, known_as
from zerosum.recipe import Recipe

ARRAYS = (".npy", ".npz")


def domain_names() -> list[str]:
    """The folders under domains/; nothing is imported."""
    return sorted(module.name for module in pkgutil.iter_modules(domains.__path__) if module.ispkg)


def domain(name: str) -> Domain:
    """The domain of that name."""
    known_as(name, dict.fromkeys(domain_names()), "domain")
    found: Domain = importlib.import_module(f"zerosum.domains.{name}").DOMAIN
    return found


def recognise(where: str) -> Domain:
    """The domain whose data lie at `where` (a name or a path)."""
    if not where.strip():
        raise UserError(
            "The name of the data is empty: give a source, a file or a folder (. is the folder you are in)."
        )
    domains_here = [domain(name) for name in domain_names()]
    for candidate in domains_here:
        if where in candidate.sources():  # a name means the source, whatever folder bears it; ./name means the folder
            return candidate
    path = path_of(where)
    if is_regular(path / "run.json"):
        raise UserError(f"{where} is the folder of a run, not data. To train it on: zerosum resume {where}")
    for candidate in domains_here:
        if candidate.recognise(where):
            return candidate
    for candidate in domains_here if os.path.exists(path) else ():
        if candidate.claims(path):
            return candidate
    raise _refusal(where, path, domains_here)


def _refusal(where: str, path: Path, domains_here: Sequence[Domain]) -> UserError:
    """Why a name or a path that is no domain's cannot be trained on."""
    if os.path.isdir(path) and not any(path.iterdir()):
        return UserError(f"{where} is an empty folder: put the data into it, or name another.")
    if is_regular(path) and path.suffix.lower() in ARRAYS:
        read = "\n".join(f"  {candidate.arrays}" for candidate in domains_here if candidate.arrays)
        return UserError(f"{where} {_held(path)}. Arrays that can be trained on:\n{read}")
    if not os.path.exists(path):
        return known.missing(where)
    kinds = "\n".join(f"  {candidate.name}: {candidate.summary}" for candidate in domains_here)
    return UserError(
        f"{where!r} is no named source, and no data that can be read. What can be trained on:\n{kinds}\n"
        "The names are listed by `zerosum sources`."
    )


def _held(path: Path) -> str:
    """What a NumPy file holds, in words."""
    try:
        shapes = {name: header.shape for name, header in numpy_files.headers(path).items()}
    except (OSError, UserError):
        return "cannot be read as arrays of numbers"
    if path.suffix.lower() == ".npy":
        return f"holds an array of shape {shapes[path.stem]}"
    return f"holds the arrays {', '.join(f'{name} {shape}' for name, shape in shapes.items()) or '(none)'}"


def recipes() -> Mapping[str, Recipe]:
    """All recipes of all domains by name."""
    return {name: recipe for each in domain_names() for name, recipe in domain(each).recipes.items()}


def sources() -> Mapping[str, Any]:
    """All named sources of all domains."""
    return {name: info for each in domain_names() for name, info in domain(each).sources().items()}


def summary() -> dict[str, Any]:
    """What `known` reads: domains with what they say of themselves, recipes with their why, sources with their summaries."""
    every = [domain(name) for name in domain_names()]
    return {
        "domains": {each.name: {"summary": each.summary, "endings": list(each.endings)} for each in every},
        "recipes": {name: recipe.why for name, recipe in recipes().items()},
        "sources": {name: str(info.summary) for name, info in sources().items()},
    }


def main() -> None:
    """Writes the file that `known` reads anew: after a domain, a recipe or a source has come or gone."""
    text = json.dumps(summary(), indent=1, ensure_ascii=False) + "\n"
    (Path(__file__).parent / known.FILE).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
