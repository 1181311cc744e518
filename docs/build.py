"""Makes the guide anew: runs every command that stands in it and puts the command's real output below it.

A block that begins with ```console holds lines `$ command`; what follows each is its output, and is replaced. The same
command is run once for all pages and languages. Commands run in the project's folder, in the order of the pages, and
write their runs below runs/guide and their pictures below docs/pictures/guide. A block marked ```console needs=mnist is
left as it is where that data set is not to be found.

    python docs/build.py [PAGE ...]
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GUIDE, RUNS, PICTURES = ROOT / "docs" / "guide", ROOT / "runs" / "guide", ROOT / "docs" / "pictures" / "guide"
BLOCK = re.compile(r"^```console(?: needs=(?P<needs>\S+))?\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = ("", "zh")


def pages() -> list[Path]:
    """All pages of the guide: every English page, then its translations."""
    english = sorted(GUIDE.glob("*.md"))
    return [path for page in english for path in (page, *(GUIDE / code / page.name for code in LANGUAGES[1:]))]


def commands(text: str) -> list[str]:
    """The commands of a page, in order."""
    return [line[2:] for block in BLOCK.finditer(text) for line in _lines(block["body"])]


def _lines(body: str) -> Iterator[str]:
    return (line for line in body.splitlines() if line.startswith("$ "))


@dataclass
class Shell:
    """Runs commands, each once, and says on stderr what is run and how long it took."""

    outputs: dict[str, str] = field(default_factory=dict)

    def output(self, command: str) -> str:
        """What the command printed on stdout; SystemExit, with its words, where it fails."""
        if command not in self.outputs:
            begun = time.monotonic()
            print(f"$ {command}", file=sys.stderr, flush=True)
            self.outputs[command] = self._run(command)
            print(f"  {time.monotonic() - begun:.1f} s", file=sys.stderr, flush=True)
        return self.outputs[command]

    def _run(self, command: str) -> str:
        words = shlex.split(command)
        beside = Path(sys.executable).parent / words[0]
        program = str(beside) if beside.exists() else words[0]
        plain = os.environ | {"NO_COLOR": "1", "COLUMNS": "100", "TERM": "dumb"}
        done = subprocess.run([program, *words[1:]], cwd=ROOT, env=plain, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{command}\nended with status {done.returncode}:\n{done.stderr.strip()}")
        return done.stdout.rstrip()


def rebuilt(text: str, shell: Shell) -> str:
    """The page with every block's output made anew."""

    def block(found: re.Match[str]) -> str:
        needs = found["needs"]
        if needs and not _there(needs):
            print(f"  kept as it is: {needs} is not here", file=sys.stderr)
            return found[0]
        parts = []
        for command in _lines(found["body"]):
            output = shell.output(command[2:])
            parts.append(f"{command}\n{output}\n" if output else f"{command}\n")
        mark = f"```console needs={needs}" if needs else "```console"
        return f"{mark}\n{''.join(parts)}```"

    return BLOCK.sub(block, text)


def _there(source: str) -> bool:
    root = os.environ.get("ZEROSUM_DATA")
    return bool(root) and (Path(root) / source).is_dir()


def main() -> None:
    """Rebuilds the pages named, or all of them."""
    parser = argparse.ArgumentParser(description="Make the guide anew by running every command that stands in it.")
    parser.add_argument("pages", nargs="*", type=Path, help="only these pages; default: all, in both languages")
    given = parser.parse_args().pages
    shutil.rmtree(RUNS, ignore_errors=True)
    RUNS.mkdir(parents=True, exist_ok=True)
    PICTURES.mkdir(parents=True, exist_ok=True)
    shell = Shell()
    for page in [path.resolve() for path in given] or pages():
        text = page.read_text(encoding="utf-8")
        page.write_text(rebuilt(text, shell), encoding="utf-8")
        print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
