"""Makes a small corpus of speech with espeak-ng, in the layout of LJSpeech: `metadata.csv` (id|text) beside `wavs/`.

    python benchmarks/espeak_voice.py VOICE [--num 660] [--voice en-gb] [--words-per-minute 150]
    zerosum train VOICE --minutes 20

One voice speaks short phrases, all different, of a vocabulary of about 60 words. `zerosum train` holds out a tenth of them; they
consist of the words of the training phrases. espeak-ng is a program of its own (GPL-3, a package of most Linux distributions);
only this script and one test run it.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

UNITS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
PLACES = ["station", "bridge", "river", "garden", "market", "harbour"]
TURNS = ["left", "right"]
COLOURS = ["red", "blue", "green", "yellow", "white", "black"]
THINGS = ["door", "window", "lamp", "table", "chair"]
VOCABULARY = sorted(
    {
        *UNITS,
        *TEENS,
        *TENS,
        *PLACES,
        *TURNS,
        *COLOURS,
        *THINGS,
        *["hundred", "and", "turn", "at", "the", "open", "close", "go", "to", "platform"],
    }
)


def number(rng: random.Random) -> str:
    """A number from 1 to 999 in words."""
    value = rng.randint(1, 999)
    hundreds, rest = divmod(value, 100)
    words = [UNITS[hundreds - 1], "hundred"] if hundreds else []
    if hundreds and rest:
        words.append("and")
    if rest >= 20:
        words.append(TENS[rest // 10 - 2])
        rest %= 10
    if rest >= 10:
        words.append(TEENS[rest - 10])
    elif rest:
        words.append(UNITS[rest - 1])
    return " ".join(words)


def phrase(rng: random.Random) -> str:
    """A phrase of two to eight words."""
    kind = rng.randrange(4)
    if kind == 0:
        return number(rng)
    if kind == 1:
        return f"turn {rng.choice(TURNS)} at the {rng.choice(PLACES)}"
    if kind == 2:
        return f"{rng.choice(('open', 'close'))} the {rng.choice(COLOURS)} {rng.choice(THINGS)}"
    return f"go to the {rng.choice(PLACES)} platform {number(rng)}"


def phrases(num: int, seed: int = 0) -> list[str]:
    """`num` different phrases, in an order drawn from the seed."""
    rng, found = random.Random(seed), dict[str, None]()
    while len(found) < num:
        found[phrase(rng)] = None
    return list(found)


def speak(text: str, path: Path, voice: str, words_per_minute: int) -> None:
    """Writes one phrase as a wav file of 22,050 Hz, mono, 16 bit."""
    subprocess.run(["espeak-ng", "-v", voice, "-s", str(words_per_minute), "-w", str(path), text], check=True)


def write(folder: Path, num: int, voice: str = "en-gb", words_per_minute: int = 150) -> None:
    """The corpus: VOICE/metadata.csv and VOICE/wavs/."""
    (folder / "wavs").mkdir(parents=True, exist_ok=True)
    lines = []
    for index, text in enumerate(phrases(num)):
        name = f"phrase-{index:04d}"
        speak(text, folder / "wavs" / f"{name}.wav", voice, words_per_minute)
        lines.append(f"{name}|{text}\n")
    (folder / "metadata.csv").write_text("".join(lines), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the command line and writes the corpus."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--num", type=int, default=660)
    parser.add_argument("--voice", default="en-gb")
    parser.add_argument("--words-per-minute", type=int, default=150)
    options = parser.parse_args(arguments)
    if shutil.which("espeak-ng") is None:
        parser.error("espeak-ng is not installed; on Debian: apt-get install espeak-ng")
    write(options.folder, options.num, options.voice, options.words_per_minute)


if __name__ == "__main__":
    main()
