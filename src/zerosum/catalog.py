"""Names of domains, recipes and sources, and the places of data. A domain is imported only when it is needed.

Domains are the packages in `zerosum/domains/`, the entry points `zerosum.domains` of installed packages, and those that a program
gives to `register`. What the command line refuses or lists at once (misspelt names, wrong endings, listings) needs no torch: it
stands for the built-in domains in known.json, which `python -m zerosum.catalog` writes.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import json
import os
import pkgutil
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zerosum import domains
from zerosum.data.opening import expand_path, is_regular
from zerosum.errors import Damaged, UserError, near, nearest
from zerosum.formatting import in_shell
from zerosum.jsonfile import read_json

if TYPE_CHECKING:
    from zerosum.domain import Domain
    from zerosum.recipe import Component, Recipe

FILE = "known.json"
GROUP = "zerosum.domains"
"""The group of entry points by which a package brings a domain: name = "module:DOMAIN"."""
NO_NAME = set("*?[]{}:")
"""Letters of patterns, which name more than one file."""


# --- answers from known.json, without importing torch: listings, misspelt names, wrong endings


@functools.cache
def _listing() -> Mapping[str, Any]:
    content: Mapping[str, Any] = json.loads(files("zerosum").joinpath(FILE).read_text(encoding="utf-8"))
    return content


@functools.cache
def _entry_points() -> tuple[EntryPoint, ...]:
    return tuple(sorted(entry_points(group=GROUP), key=lambda each: (each.name, each.value)))


def installed_domains() -> list[tuple[str, str]]:
    """(name of the domain, name of the package) for each domain that an installed package brings; nothing is imported."""
    found = {(each.name, each.dist.name if each.dist else each.value) for each in _entry_points()}
    return sorted(found)


def package_of(name: str) -> tuple[str, str] | None:
    """(name, version) of the installed package that brings a domain; None for a built-in or registered domain."""
    found = next((each.dist for each in _entry_points() if each.name == name and each.dist), None)
    return (found.name, found.version) if found else None


def _entry_point(name: str) -> EntryPoint:
    """The entry point of a domain of an installed package."""
    return next(each for each in _entry_points() if each.name == name)


def is_complete() -> bool:
    """Whether known.json lists all domains; another domain has to be imported to know its names."""
    return set(built_in()) == set(_listing()) and not installed_domains()


def listed_domains() -> list[str]:
    """The names of the built-in domains."""
    return list(_listing())


def built_in_owners(kind: str) -> Mapping[str, str]:
    """Name of each recipe or source of the built-in domains -> the name of its domain. kind: "recipes" or "sources"."""
    return {name: domain for domain, about in _listing().items() for name in about[kind]}


def _summaries(kind: str) -> Mapping[str, str]:
    return {name: words for about in _listing().values() for name, words in about[kind].items()}


def recipe_summaries() -> Mapping[str, str]:
    """Name of each recipe of the built-in domains -> its line of why."""
    return _summaries("recipes")


def source_summaries() -> Mapping[str, str]:
    """Name of each source of the built-in domains -> its summary."""
    return _summaries("sources")


def declared_sample_options() -> list[tuple[str, Mapping[str, Any]]]:
    """(name of the domain, plain values of a SampleOption) for each option of `sample` that a built-in domain declares."""
    return [(name, option) for name, about in _listing().items() for option in about.get("sample", ())]


def refuse_missing(where: str | None) -> None:
    """UserError for data that are neither a named source nor on the disk."""
    if not where or where in source_summaries() or NO_NAME & set(where) or os.path.exists(os.path.expanduser(where)):
        return
    if is_complete():
        raise no_data(where)


def refuse_recipe(name: str | None) -> None:
    """UserError for a recipe that is neither a file nor the name of one."""
    if name and not name.endswith((".toml", ".json")) and name not in recipe_summaries() and is_complete():
        raise no_recipe(name, recipe_summaries())


def no_recipe(name: str, there: Iterable[str]) -> UserError:
    """The error for a name that no recipe has."""
    return UserError(f"There is no recipe {name!r}. {nearest(name, there)} See `zerosum recipes`.")


def no_data(where: str, summaries: Mapping[str, str] | None = None, names: Iterable[str] | None = None) -> UserError:
    """What is said of a name or a path where there is nothing to train on: what lies beside it, which source or recipe may be
    meant, and what can be trained on. summaries: of all domains by name; names: of all sources; by default the built-in ones."""
    names = source_summaries() if names is None else names
    hint = _on_disk(where) or ("" if os.sep in where.rstrip("/") else near(where.rstrip("/"), names))
    if where in recipe_summaries():
        hint = f"{where!r} is a recipe: name the data first, as in `zerosum train digits --recipe {where}`."
    summaries = summaries or {name: about["summary"] for name, about in _listing().items()}
    kinds = "\n".join(f"  {name}: {summary}" for name, summary in summaries.items())
    message = f"{where!r} is no named source, and no data that can be read: there is no such file or folder. {hint}"
    return UserError(f"{message.rstrip()} What can be trained on:\n{kinds}\nThe names are listed by `zerosum sources`.")


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


def endings(folder: Path) -> list[str]:
    """The endings of file names that the domain of this run writes, "" for a folder; none where the domain is not known."""
    for name in ("recipe.json", "generator.json"):
        try:
            content = read_json(folder / name)
            content = content.get("recipe", content)
            found: list[str] = _listing()[content["domain"]]["endings"]
        except (OSError, Damaged, KeyError, TypeError, AttributeError):
            continue
        return found
    return []


def refuse_ending(folder: Path, out: Path) -> None:
    """UserError for a file name that the domain of this run does not write; nothing where the domain is not known."""
    written = endings(folder)
    if written and not any(_has_ending(out, ending) for ending in written):
        shown = ", ".join(ending for ending in written if ending)
        more = ", or a folder for single files" if "" in written else ""
        raise UserError(f"--out {out}: cannot write {out.suffix or 'a folder'}. Use {shown}{more}.")


def _has_ending(out: Path, ending: str) -> bool:
    return out.name.lower().endswith(ending) if ending else not out.suffix


# --- domains


ARRAYS = (".npy", ".npz")
_registered: dict[str, Domain] = {}
_loaded: dict[str, Domain] = {}
"""Domains of entry points that were imported and checked."""


def built_in() -> list[str]:
    """The names of the packages in `zerosum/domains/`; nothing is imported."""
    return sorted(module.name for module in pkgutil.iter_modules(domains.__path__) if module.ispkg)


def domain_names() -> list[str]:
    """The built-in domains, then those of installed packages and those that were registered; nothing is imported.

    UserError where two have one name.
    """
    names = built_in()
    for name, package in installed_domains():
        if name in names:
            other = next((by for same, by in installed_domains() if same == name and by != package), "")
            raise UserError(
                _clash(name, f"the package {package}", f"the package {other}" if other else "zerosum itself")
            )
        names.append(name)
    for name in _registered:
        if name in names:
            raise UserError(_clash(name, "zerosum.register", _origin(name)))
        names.append(name)
    return names


def register(domain: Domain, replace: bool = False) -> Domain:
    """Makes a domain known to this program: `zs.train` finds its data, recipes and sources. Returns the domain.

    Other processes (evaluation during the training, the command line, `--devices`) do not know it; for those give it by an entry
    point of the group `zerosum.domains` (docs/extend.md). replace: a domain registered before under this name is replaced.
    UserError where the name of the domain, of one of its recipes or of one of its sources is taken.
    """
    taken = [*built_in(), *(name for name, _ in installed_domains())]
    if domain.name in taken or (domain.name in _registered and not replace):
        advice = "" if domain.name in taken else " To replace it: register(domain, replace=True)."
        raise UserError(_clash(domain.name, f"zerosum.register ({domain.summary})", _origin(domain.name)) + advice)
    before = _registered.pop(domain.name, None)
    try:
        _refuse_taken_names(domain, "zerosum.register")
    except UserError:
        if before is not None:
            _registered[domain.name] = before
        raise
    _registered[domain.name] = domain
    return domain


def domain(name: str) -> Domain:
    """The domain of that name. UserError where there is none, or where its package cannot be imported."""
    names = domain_names()
    if name in _registered:
        return _registered[name]
    if name not in names:
        raise UserError(
            f"There is no domain {name!r} in this process. {nearest(name, names)} If a package brings it, install the package "
            "here. If a program registered it with zerosum.register, only that program knows it: other processes (the command "
            "line, evaluation during the training, --devices) need it as an entry point `zerosum.domains` (docs/extend.md)."
        )
    if name in built_in():
        found: Domain = importlib.import_module(f"zerosum.domains.{name}").DOMAIN
        return found
    return _of_package(name)


def _of_package(name: str) -> Domain:
    """The domain that an entry point names, imported and checked once."""
    from zerosum.domain import Domain

    if name not in _loaded:
        package = dict(installed_domains())[name]
        origin = f"the package {package}"
        try:
            found = _entry_point(name).load()
        except Exception as error:
            raise UserError(
                f"The domain {name!r} of {origin} cannot be imported ({type(error).__name__}: {error}). Repair the package, or "
                f"remove it: pip uninstall {package}"
            ) from error
        if not isinstance(found, Domain) or found.name != name:
            what = (
                f"the domain {found.name!r}"
                if isinstance(found, Domain)
                else f"an object of type {type(found).__name__}"
            )
            raise UserError(f"The entry point {name!r} of {origin} gives {what}; it must give the Domain of that name.")
        _refuse_taken_names(found, origin)
        _loaded[name] = found
    return _loaded[name]


def _refuse_taken_names(domain: Domain, origin: str) -> None:
    """UserError where a recipe or a source of a domain from outside has the name of one that is there already."""
    others = [other for other in (*_loaded.values(), *_registered.values()) if other.name != domain.name]
    for kind, names, built in (
        ("recipe", domain.recipes.table, built_in_owners("recipes")),
        ("source", domain.data.sources(), built_in_owners("sources")),
    ):
        owners = dict(built)
        for other in others:
            owners |= dict.fromkeys(other.recipes.table if kind == "recipe" else other.data.sources(), other.name)
        for name in names:
            if name in owners:
                raise UserError(
                    f"The {kind} {name!r} of the domain {domain.name!r} ({origin}) has the name of a {kind} of the domain "
                    f"{owners[name]!r} ({_origin(owners[name])}). Rename one of them."
                )


def _origin(name: str) -> str:
    """Where a domain comes from, in words."""
    package = dict(installed_domains()).get(name)
    return "zerosum itself" if name in built_in() else f"the package {package}" if package else "zerosum.register"


def _clash(name: str, one: str, other: str) -> str:
    return f"Two domains have the name {name!r}: that of {one} and that of {other}. Rename or uninstall one of them."


def _all(names: Sequence[str] | None = None) -> Iterator[Domain]:
    """The domains of these names, by default every one; a warning in place of one whose package cannot be imported."""
    for name in domain_names() if names is None else names:
        try:
            yield domain(name)
        except UserError as error:
            if name in built_in():
                raise
            warnings.warn(str(error), stacklevel=2)


def recognise(where: str) -> Domain:
    """The domain whose data lie at `where` (a name or a path)."""
    if not where.strip():
        raise UserError(
            "The name of the data is empty: give a source, a file or a folder (. is the folder you are in)."
        )
    if owner := built_in_owners("sources").get(where):
        return domain(owner)
    domains_here = list(_all())
    for candidate in domains_here:
        if where in candidate.data.sources():  # a name means the source, whatever folder bears it; ./name is the folder
            return candidate
    path = expand_path(where)
    if is_regular(path / "run.json"):
        raise UserError(f"{where} is the folder of a run, not data. To train it on: zerosum resume {in_shell(where)}")
    for candidate in domains_here:
        if candidate.data.can_open(where):
            return candidate
    for candidate in domains_here if os.path.exists(path) else ():
        if candidate.data.looks_like(path):
            return candidate
    raise _refusal(where, path, domains_here)


def _refusal(where: str, path: Path, domains_here: Sequence[Domain]) -> UserError:
    """Why a name or a path that is no domain's cannot be trained on."""
    if os.path.isdir(path) and not any(path.iterdir()):
        return UserError(f"{where} is an empty folder: put the data into it, or name another.")
    if is_regular(path) and path.suffix.lower() in ARRAYS:
        read = "\n".join(f"  {candidate.data.arrays}" for candidate in domains_here if candidate.data.arrays)
        return UserError(f"{where} {_held(path)}. Arrays that can be trained on:\n{read}")
    if not os.path.exists(path):
        named = [name for candidate in domains_here for name in candidate.data.sources()]
        return no_data(where, {candidate.name: candidate.summary for candidate in domains_here}, named)
    kinds = "\n".join(f"  {candidate.name}: {candidate.summary}" for candidate in domains_here)
    return UserError(
        f"{where!r} is no named source, and no data that can be read. What can be trained on:\n{kinds}\n"
        "The names are listed by `zerosum sources`."
    )


def _held(path: Path) -> str:
    """What a NumPy file holds, in words."""
    from zerosum.data import numpy_files

    try:
        shapes = {name: header.shape for name, header in numpy_files.read_headers(path).items()}
    except (OSError, UserError):
        return "cannot be read as arrays of numbers"
    if path.suffix.lower() == ".npy":
        return f"holds an array of shape {shapes[path.stem]}"
    return f"holds the arrays {', '.join(f'{name} {shape}' for name, shape in shapes.items()) or '(none)'}"


def recipe(name: str) -> Recipe:
    """The recipe of that name; only the domain that has it is imported. UserError with the nearest names where there is none."""
    if owner := built_in_owners("recipes").get(name):
        return domain(owner).recipes.table[name]
    every = recipes()
    if name not in every:
        raise no_recipe(name, every)
    return every[name]


def recipes() -> Mapping[str, Recipe]:
    """All recipes of all domains by name."""
    return {name: recipe for each in _all() for name, recipe in each.recipes.table.items()}


def sources() -> Mapping[str, Any]:
    """All named sources of all domains."""
    return {name: info for each in _all() for name, info in each.data.sources().items()}


def source_domains() -> Mapping[str, str]:
    """Name of each named source -> the name of its domain."""
    return {name: each.name for each in _all() for name in each.data.sources()}


def unlisted() -> list[Domain]:
    """The domains that the file of known.json does not list: those from outside, and a built-in one that was just added."""
    listed = listed_domains()
    return list(_all([name for name in domain_names() if name not in listed]))


def summary() -> dict[str, Any]:
    """What known.json holds of the built-in domains: what they say of themselves, their recipes and their sources."""
    return {
        each.name: {
            "summary": each.summary,
            "endings": list(each.media.endings),
            "sample": [option.to_json() for option in each.media.sample_options],
            "recipes": {name: recipe.why for name, recipe in each.recipes.table.items()},
            "sources": {name: str(info.summary) for name, info in each.data.sources().items()},
        }
        for each in map(domain, built_in())
    }


def main() -> None:
    """Writes the file that known.json holds: after a built-in domain, a recipe or a source was added, changed or removed."""
    text = json.dumps(summary(), indent=1, ensure_ascii=False) + "\n"
    (Path(__file__).parent / FILE).write_text(text, encoding="utf-8")


# --- where the data of a run lie


def absolute_path(text: str | Path) -> str:
    """The path as it is called from any folder."""
    return os.path.abspath(expand_path(text))


def with_absolute_paths(recipe: Recipe, domain: Domain) -> Recipe:
    """The recipe with every path in it absolute, so that the run can be gone on with from anywhere."""
    changed = {
        name: absolute_path(path)
        for name, path in _data_paths(recipe.data, domain)
        if os.path.exists(expand_path(path))
    }
    start = recipe.start and recipe.start.model_copy(update={"folder": absolute_path(recipe.start.folder)})
    return recipe.changed(data={**recipe.data.model_dump(mode="json"), **changed}, start=start)


def with_data_moved(recipe: Recipe, domain: Domain, to: str | Path) -> Recipe:
    """The recipe with its data at another path. Paths of other options inside the old folder become paths inside the new one."""
    old, new = Path(absolute_path(recipe.data.kind)), Path(absolute_path(to))
    inside = {
        name: str(new / Path(path).relative_to(old))
        for name, path in _data_paths(recipe.data, domain)
        if name != "kind" and Path(path).is_relative_to(old)
    }
    kind = str(to) if is_source_name(str(to), domain) else str(new)
    return recipe.changed(data={**recipe.data.model_dump(mode="json"), **inside, "kind": kind})


def with_public_paths(recipe: Recipe, domain: Domain) -> Recipe:
    """The recipe for others to read: of each path only the last part, for the rest is about this machine."""
    names = {name: Path(path).name for name, path in _data_paths(recipe.data, domain)}
    start = recipe.start and recipe.start.model_copy(update={"folder": Path(recipe.start.folder).name})
    return recipe.changed(data={**recipe.data.model_dump(mode="json"), **names}, start=start)


def refuse_missing_data(recipe: Recipe, domain: Domain, run: object) -> None:
    """UserError when data that were read from files are no longer there; it says where they were."""
    for name, path in _data_paths(recipe.data, domain):
        if not os.path.exists(expand_path(path)):
            what = "data" if name == "kind" else f"file of data.{name}"
            far = "" if os.path.isabs(expand_path(path)) else f", seen from the folder {os.getcwd()}"
            anew = "--data NEW" if name == "kind" else f"--set data.{name}=NEW"
            raise UserError(
                f"The {what} of {run}: at {path} when it was trained, and nothing is there now{far}. Bring it back, or name "
                f"the new place: zerosum resume {in_shell(run)} {anew}"
                + (f", zerosum evaluate {in_shell(run)} --data NEW." if name == "kind" else ".")
            )


def is_source_name(where: str, domain: Domain) -> bool:
    """Whether it names a source of the domain, in any spelling, and no place."""
    return _plain_name(where) in {_plain_name(name) for name in domain.data.sources()}


def _plain_name(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _data_paths(data: Component, domain: Domain) -> Iterator[tuple[str, str]]:
    """The options that are paths, by name."""
    if not is_source_name(data.kind, domain):
        yield "kind", data.kind
    for name in domain.data.paths:
        if isinstance(path := data.options.get(name), str):
            yield name, path


if __name__ == "__main__":
    main()
