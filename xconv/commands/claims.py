"""``xconv claims``: what is said of Conv1D against Conv2D, tried here."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from xconv.system.errors import ArgumentError, nearest
from xconv.system.files import write_whole

DECIDED, UNDECIDED = 0, 1


def add(commands: Any) -> None:
    """Add the command to a parser's.

    Args:
        commands: what ``ArgumentParser.add_subparsers`` returned.
    """
    claims = commands.add_parser(
        "claims",
        help="what is said of Conv1D against Conv2D in articles, tried here: true, false, or it depends",
        description="Try what articles say of 1-D and 2-D convolutions: parameters, arithmetic, what the frameworks "
        "refuse, rows and columns, flattening, folding, receptive fields, speed. A claim is true if it holds in every "
        "setting that is tried, false if in none. Speed takes a benchmark of some minutes, and is left out without "
        "--measure. Exit code 0: all is decided, or left out; 1: a claim could not be tried, or the machine is too "
        "busy to decide one; 2: wrong use.",
        epilog="example: xconv claims --only height-one",
    )
    claims.add_argument("--only", action="append", metavar="ID", help="a claim, with its evidence; repeatable")
    claims.add_argument("--measure", action="store_true", help="measure speed, too")
    claims.add_argument(
        "--backend", action="append", metavar="NAME", help="default: all that have layers of their own; repeatable"
    )
    claims.add_argument("--json", action="store_true", help="as JSON, and nothing else")
    claims.add_argument("--markdown", type=Path, metavar="FILE", help="write a page there")
    claims.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Try the claims, and print.

    Args:
        arguments: what was read of the command line.

    Returns:
        The exit code: 0 if all is decided or left out, 1 if a claim could not be tried or decided.

    Raises:
        ArgumentError: an option does not fit.
    """
    from tqdm import tqdm

    from xconv.claims import CLAIMS, Asked, check
    from xconv.claims.text import in_full, overview, page

    chosen = _chosen(arguments.only)
    file = arguments.markdown
    if file is not None and (not file.resolve().parent.is_dir() or file.is_dir()):
        raise ArgumentError("claims", "--markdown", str(file), "a file in a folder that exists")
    if arguments.measure:
        _needs("scipy")
    backends = _backends(arguments.backend)
    found = []
    with tqdm(total=len(chosen), unit="claim", leave=False, disable=None) as bar:

        def progress(text: str) -> None:
            bar.set_description(f"{text:60.60}")

        asked = Asked(backends, arguments.measure, progress)
        for name in chosen:
            progress(name)
            found.append((CLAIMS[name], check(CLAIMS[name], asked)))
            bar.update()
    if file is not None:
        write_whole(file, page(found, _where(backends)))
    if arguments.json:
        print(json.dumps([claim.to_dict(finding) for claim, finding in found]))
    elif arguments.only:
        print("\n\n".join(in_full(claim, finding) for claim, finding in found))
    else:
        print(overview(found))
    open_ones = [
        claim
        for claim, finding in found
        if finding.verdict == "failed" or (finding.verdict == "not measured" and arguments.measure)
    ]
    return UNDECIDED if open_ones else DECIDED


def _chosen(only: Sequence[str] | None) -> list[str]:
    from xconv.claims import CLAIMS

    for name in only or ():
        if name not in CLAIMS:
            raise ArgumentError("claims", "--only", name, f"one of {', '.join(CLAIMS)}", nearest(name, CLAIMS))
    return list(dict.fromkeys(only or CLAIMS))


def _backends(asked: Sequence[str] | None) -> tuple[str, ...]:
    """Those that were asked for, or all whose framework has models: what is said is said of layers."""
    from xconv.core.registry import backends, get_backend, known

    names = asked or sorted(
        (name for name in backends() if known(name).model_modules), key=lambda name: name != "torch"
    )
    for name in names:
        get_backend(name).module("models.claims")
    return tuple(dict.fromkeys(names))


def _where(backends: Sequence[str]) -> str:
    from xconv.core.registry import get_backend
    from xconv.doctor.machine import machine

    versions = ", ".join(f"{name} {get_backend(name).version()}" for name in backends)
    return f"Tried with {versions}, on {machine().cpu}."


def _needs(*modules: str) -> None:
    absent = [module for module in modules if find_spec(module) is None]
    if absent:
        hint = "pip install 'xconv[bench]'"
        raise ArgumentError("claims", "installation", f"no {', '.join(absent)}", "what measuring needs", hint)
