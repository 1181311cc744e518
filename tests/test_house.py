"""The house keeps its own rules: who imports whom, how long things are, which words never appear."""

from __future__ import annotations

import ast
import functools
import graphlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from test_cli import VERBS

SRC = Path(__file__).parents[1] / "src" / "zerosum"
FILES = sorted(SRC.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
LAYERS = [  # an import goes to the same layer's own package or to a layer further down
    {"__main__"},
    {"cli"},
    {"lab"},
    {"lessons"},
    {"estimators"},
    {"api"},
    {"machine"},
    {"training"},
    {"evaluation"},
    {"planning"},
    {"generation"},
    {"run_folder", "memory"},
    {"report"},
    {"catalog"},
    {"domains"},
    {"domain"},
    {"recipe"},
    {"engine"},
    {"nn", "metrics", "data", "theory"},
    {"store"},
    {"jsonfile"},
    {"formatting", "errors"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
NARROW = {  # what these modules may import of ours; a listed package includes its modules
    "engine.losses": {"errors"},
    "engine.optimizers": {"errors"},
    "engine.penalties": {"engine.game", "engine.optimizers", "nn.latent", "errors"},
    "nn": {"nn", "errors"},
    "metrics": {"metrics", "jsonfile", "errors"},
    "data": {"data", "store", "jsonfile", "errors"},
    "store": {"jsonfile", "errors"},
    "jsonfile": {"errors"},
    "theory": {"theory", "errors"},
}


def module(path: Path) -> str:
    """engine/losses.py -> engine.losses; engine/__init__.py -> engine; the package's own __init__ is the empty name."""
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST) -> Iterator[str]:
    """Our modules that a file imports, anywhere in it, without the leading "zerosum."."""
    ours = {module(path) for path in FILES}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("zerosum").lstrip(".") for alias in node.names if _is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            if node.module and _is_ours(node.module):
                base = node.module.removeprefix("zerosum").lstrip(".")
                for alias in node.names:
                    deeper = f"{base}.{alias.name}".lstrip(".")
                    yield deeper if deeper in ours else base


def _is_ours(name: str) -> bool:
    return name == "zerosum" or name.startswith("zerosum.")


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def complaint(here: str, there: str) -> str | None:
    """Why `here` may not import `there`, or None."""
    if not here or not there:  # the public names of the package; its version
        return None
    top, target = here.split(".")[0], there.split(".")[0]
    if target not in LEVEL or top not in LEVEL:
        return f"{here} -> {there}: not in the plan of layers"
    for package, allowed in NARROW.items():
        if within(here, package) and not any(within(there, name) for name in allowed):
            return f"{here} -> {there}: {package} may import only {sorted(allowed)}"
    if top == "domains" and target == "domains" and _domain(here) != _domain(there):
        return f"{here} -> {there}: a domain never imports another"
    if top != target and LEVEL[target] <= LEVEL[top]:
        return f"{here} -> {there}: an arrow to the left"
    return None


def _domain(name: str) -> str:
    return ".".join(name.split(".")[:2])


def test_imports_point_rightwards() -> None:
    found = [complaint(module(path), there) for path in FILES for there in imports(TREES[path])]
    assert [words for words in found if words] == []


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The circles of a graph of imports: its strongly connected components of more than one module."""
    order = graphlib.TopologicalSorter(graph)
    try:
        order.prepare()
    except graphlib.CycleError as error:
        return [error.args[1]]
    return []


def test_no_file_imports_itself_through_others() -> None:
    """Imports inside functions count too. A package's __init__ that collects names is imported before its modules by Python."""
    graph = {module(path): {there for there in imports(TREES[path]) if there} - {module(path)} for path in FILES}
    assert circles(graph) == []


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) != []


@pytest.mark.parametrize(
    ("here", "there", "refused"),
    [
        ("engine.loop", "recipe", True),
        ("engine.loop", "errors", False),
        ("engine.losses", "engine.game", True),
        ("engine.penalties", "engine.optimizers", False),
        ("engine.penalties", "engine.duel", True),
        ("domains.images.data", "domains.audio", True),
        ("domains.images.data", "domains.images.networks.sizes", False),
        ("metrics.frechet", "data.fetch", True),
        ("report.page", "run_folder", True),
        ("api", "report", False),
        ("errors", "nn.layers", True),
        ("novelty", "errors", True),
    ],
)
def test_the_rule_itself_can_fail(here: str, there: str, refused: bool) -> None:
    assert (complaint(here, there) is not None) is refused


def test_the_report_never_needs_torch() -> None:
    """The page is made from files alone."""
    for path in FILES:
        if module(path).split(".")[0] == "report":
            names = [n for node in ast.walk(TREES[path]) for n in _imported(node)]
            assert "torch" not in {name.split(".")[0] for name in names}, path


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


# --- sizes: complexity is checked by ruff (pyproject.toml)


def code_lines(text: str) -> int:
    """Lines that hold code: no blank lines, no comments, no docstrings."""
    silent: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            assert body
            silent |= set(range(body[0].lineno, (body[0].end_lineno or 0) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(
        1 for number, line in lines if number not in silent and line.strip() and not line.lstrip().startswith("#")
    )


def test_code_lines_are_counted() -> None:
    text = '"""Words\nin two lines."""\n\n# why\ndef f() -> str:\n    """What."""\n    return """a\nb"""\n'
    assert code_lines(text) == 3


def test_the_engine_stays_small() -> None:
    """Code lines, without docstrings, comments and blank ones: what a person reads in a sitting. About 45 of them take tensors,
    pairs and names of penalties from users of `engine.train`, 25 choose the precision, and 80 play games in phases."""
    assert sum(code_lines(path.read_text(encoding="utf-8")) for path in (SRC / "engine").glob("*.py")) < 1600


# --- words


def calls(tree: ast.AST) -> Iterator[str]:
    """Names of what is called: "eval", "torch.load", "self.network.eval"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def test_nothing_can_run_foreign_code_or_hide_an_error() -> None:
    for path, tree in TREES.items():
        _check_code(path, tree)


def _check_code(path: Path, tree: ast.Module) -> None:
    text = path.read_text(encoding="utf-8")
    assert {name for node in ast.walk(tree) for name in _imported(node)} & {
        "pickle",
        "cloudpickle",
        "dill",
        "shelve",
    } == set()
    banned = {"eval", "exec", "compile", "torch.load", "torch.save", "pickle.load", "pickle.loads", "__import__"}
    assert set(calls(tree)) & banned == set()
    assert "allow_pickle=True" not in text
    assert "extractall" not in text
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: a bare except"
            broad = ast.unparse(node.type) in ("Exception", "BaseException")
            assert not (broad and isinstance(node.body[0], ast.Pass)), f"line {node.lineno}: a silent rescue"


def test_json_is_read_in_one_place() -> None:
    """A damaged or foreign file is deep, long or odd: one reader knows. The package's own list of names is neither."""
    loads = {"json.load", "json.loads", "jsonlib.load", "jsonlib.loads"}
    found = {module(path) for path in FILES if loads & set(calls(TREES[path]))}
    assert found <= {"jsonfile", "catalog"}


def test_nothing_is_left_for_later() -> None:
    found = [p for p in FILES if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", p.read_text(encoding="utf-8"))]
    assert found == []


def test_public_things_say_what_they_are() -> None:
    """Every public module, class and function of the package has a docstring (protocols' bodies of `...` apart)."""
    silent = []
    for path in FILES:
        tree = TREES[path]
        if path.read_text(encoding="utf-8").strip() and ast.get_docstring(tree) is None:
            silent.append(module(path))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                silent += [] if ast.get_docstring(node) else [f"{module(path)}.{node.name}"]
    assert silent == []


# --- names of modules and files in docs and docstrings

ROOT = SRC.parents[1]
FOLDERS = ("src", "tests", "docs", "examples", "benchmarks")
TEXTS = [
    *(path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md"),  # a changelog names what was there
    *(
        path
        for name in FOLDERS
        if name != "tests"
        for ending in ("md", "py")
        for path in (ROOT / name).rglob(f"*.{ending}")
    ),
]
DOTTED = re.compile(r"\bzerosum((?:\.[A-Za-z_]\w*)+)")
FILE_PATH = re.compile(r"(?<![\w/<-])(?:\.\./)*((?:[\w-]+/)+[\w-]+\.py)\b")
MADE_BY_THE_READER = {"src/zerosum/domains/images/networks/tiny.py"}
"""Files that docs/extend.md tells the reader to write."""


def names_in(tree: ast.AST) -> set[str]:
    """All names that a module defines, imports or mentions."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name)
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
    return found


@functools.cache
def is_there(dotted: str) -> bool:
    """Whether "training.callbacks.Finished" is a module, or begins with a module that has the next name."""
    modules = tree_of_module()
    parts = dotted.split(".")
    depth = max(count for count in range(len(parts) + 1) if ".".join(parts[:count]) in modules)
    return depth == len(parts) or parts[depth] in names_in(modules[".".join(parts[:depth])])


@functools.cache
def tree_of_module() -> dict[str, ast.Module]:
    return {module(path): tree for path, tree in TREES.items()}


@functools.cache
def sources() -> list[str]:
    return [path.relative_to(ROOT).as_posix() for name in FOLDERS for path in (ROOT / name).rglob("*.py")]


def dead_names(text: str) -> list[str]:
    """The modules zerosum.x.y, and the paths x/y.py, named in a text that are not there."""
    dotted = {match[0] for match in DOTTED.finditer(text) if not is_there(match[1][1:])}
    paths = {match[1] for match in FILE_PATH.finditer(text)} - MADE_BY_THE_READER
    gone = {path for path in paths if not any(f"/{one}".endswith(f"/{path}") for one in sources())}
    return sorted(dotted | gone)


def test_modules_and_files_that_texts_name_are_there() -> None:
    dead = {str(path.relative_to(ROOT)): dead_names(path.read_text(encoding="utf-8")) for path in TEXTS}
    assert {path: names for path, names in dead.items() if names} == {}


def test_dead_names_are_found() -> None:
    text = "zerosum.engine.train, zerosum.runs.transfer, `engine/loop.py`, [x](../src/zerosum/runs/transfer.py), zerosum.nn"
    assert dead_names(text) == ["src/zerosum/runs/transfer.py", "zerosum.runs.transfer"]


# --- the surface


def test_verbs_of_the_command_line() -> None:
    """A verb more or less is a change of the surface: it belongs in the README and the changelog too."""
    from zerosum.cli import app

    names = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert names == set(VERBS)


def test_public_names_can_be_had() -> None:
    import zerosum

    assert [name for name in zerosum.__all__ if not hasattr(zerosum, name)] == []
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        zerosum.nothing  # noqa: B018
