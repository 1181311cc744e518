"""The command line: parse, call, print. Progress goes to stderr, results to stdout; heavy imports happen inside the commands."""

from __future__ import annotations

from zerosum.cli.common import app, main

# The help lists the commands in the order in which these modules are imported.
# isort: off
from zerosum.cli import training
from zerosum.cli import sampling
from zerosum.cli import evaluation
from zerosum.cli import latents
from zerosum.cli import info
from zerosum.cli import theory
from zerosum.cli import lab
# isort: on

__all__ = ["app", "evaluation", "info", "lab", "latents", "main", "sampling", "theory", "training"]
