"""What may be named on the command line, without importing torch: listings, misspelt names, wrong endings are answered at once.

The built-in domains stand in one file, which `python -m zerosum.catalog` writes. Domains of installed packages are looked up by
their entry points; they are imported only where their recipes or sources are asked for.
"""

from __future__ import annotations

import difflib
import functools
import json
import os
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any

from zerosum.errors import Damaged, UserError, near, nearest
from zerosum.jsonfile import read_json

FILE = "known.json"
GROUP = "zerosum.domains"
"""The group of entry points by which a package brings a domain: name = "module:DOMAIN"."""
NO_NAME = set("*?[]{}:")
"""Letters of patterns, which name more than one file."""


@functools.cache
def _content() -> Mapping[str, Any]:
    content: Mapping[str, Any] = json.loads(files("zerosum").joinpath(FILE).read_text(encoding="utf-8"))
    return content


@functools.cache
def _entry_points() -> tuple[EntryPoint, ...]:
    return tuple(sorted(entry_points(group=GROUP), key=lambda each: (each.name, each.value)))


def installed() -> list[tuple[str, str]]:
    """(name of the domain, name of the package) for each domain that an installed package brings; nothing is imported."""
    found = {(each.name, each.dist.name if each.dist else each.value) for each in _entry_points()}
    return sorted(found)


def entry_point(name: str) -> EntryPoint:
    """The entry point of a domain of an installed package."""
    return next(each for each in _entry_points() if each.name == name)


def complete() -> bool:
    """Whether the domains that are here are those of the file; a domain that was added has to be asked itself."""
    there = {path.name for path in (Path(__file__).parent / "domains").iterdir() if (path / "__init__.py").is_file()}
    return there == set(_content()) and not installed()


def domains() -> list[str]:
    """The names of the built-in domains."""
    return list(_content())


def built_in(kind: str) -> Mapping[str, str]:
    """Name of each recipe or source of the built-in domains -> the name of its domain. kind: "recipes" or "sources"."""
    return {name: domain for domain, about in _content().items() for name in about[kind]}


def _summaries(kind: str) -> Mapping[str, str]:
    return {name: words for about in _content().values() for name, words in about[kind].items()}


def recipes() -> Mapping[str, str]:
    """Name of each recipe of the built-in domains -> its line of why."""
    return _summaries("recipes")


def sources() -> Mapping[str, str]:
    """Name of each source of the built-in domains -> its summary."""
    return _summaries("sources")


def sample_options() -> list[tuple[str, Mapping[str, Any]]]:
    """(name of the domain, plain values of a SampleOption) for each option of `sample` that a built-in domain declares."""
    return [(name, option) for name, about in _content().items() for option in about.get("sample", ())]


def refuse_missing(where: str | None) -> None:
    """UserError for data that are neither a named source nor on the disk."""
    if not where or where in sources() or NO_NAME & set(where) or os.path.exists(os.path.expanduser(where)):
        return
    if complete():
        raise missing(where)


def refuse_recipe(name: str | None) -> None:
    """UserError for a recipe that is neither a file nor the name of one."""
    if name and not name.endswith((".toml", ".json")) and name not in recipes() and complete():
        raise no_recipe(name, recipes())


def no_recipe(name: str, there: Iterable[str]) -> UserError:
    """The error for a name that no recipe has."""
    return UserError(f"There is no recipe {name!r}. {nearest(name, there)} See `zerosum recipes`.")


def missing(where: str) -> UserError:
    """What is said of a name or a path where there is nothing to train on: what lies beside it, which source or recipe may be
    meant, and what can be trained on."""
    hint = _on_disk(where) or ("" if os.sep in where.rstrip("/") else near(where.rstrip("/"), sources()))
    if where in recipes():
        hint = f"{where!r} is a recipe: name the data first, as in `zerosum train digits --recipe {where}`."
    kinds = "\n".join(f"  {name}: {about['summary']}" for name, about in _content().items())
    told = f"{where!r} is no named source, and no data that can be read: there is no such file or folder. {hint}"
    return UserError(f"{told.rstrip()} What can be trained on:\n{kinds}\nThe names are listed by `zerosum sources`.")


def _on_disk(where: str) -> str:
    """A sentence that offers the paths that differ from `where` in one part which is spelt nearly alike."""
    path = Path(os.path.expanduser(where))
    there = next((parent for parent in path.parents if os.path.isdir(parent)), None)
    if there is None:
        return ""
    part, *rest = path.relative_to(there).parts
    try:
        names = [entry.name for entry in os.scandir(there) if not entry.name.startswith(".")]
    except OSError:
        return ""
    close = difflib.get_close_matches(part, names, n=3, cutoff=0.6)
    whole = [found for name in close if os.path.exists(found := str(there.joinpath(name, *rest)))]
    return "Did you mean " + " or ".join(map(repr, whole)) + "?" if whole else ""


def refuse_ending(folder: Path, out: Path) -> None:
    """UserError for a file name that the domain of this run does not write; nothing where the domain cannot be told."""
    for name in ("recipe.json", "generator.json"):
        try:
            content = read_json(folder / name)
            content = content.get("recipe", content)
            endings = _content()[content["domain"]]["endings"]
        except (OSError, Damaged, KeyError, TypeError, AttributeError):
            continue
        if endings and not any(_ends(out, ending) for ending in endings):
            shown = ", ".join(ending for ending in endings if ending)
            more = ", or a folder for single files" if "" in endings else ""
            raise UserError(f"--out {out}: cannot write {out.suffix or 'a folder'}. Use {shown}{more}.")
        return


def _ends(out: Path, ending: str) -> bool:
    return out.name.lower().endswith(ending) if ending else not out.suffix
