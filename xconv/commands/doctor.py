"""``xconv doctor``: what is installed here, how it is set, and what each framework can do."""

from __future__ import annotations

import argparse
from typing import Any

WELL, NOT_WELL = 0, 1


def add(commands: Any) -> None:
    """Add the command to a parser's.

    Args:
        commands: what ``ArgumentParser.add_subparsers`` returned.
    """
    doctor = commands.add_parser(
        "doctor",
        help="what is installed here, how it is set, and what each framework can do",
        description="Tell versions, devices, settings and the environment; try every operation, dtype and direction, "
        "compiled too, and what each framework's own op would have done; and say what to do about what is wrong. "
        "Nothing is changed, and what crashes or hangs does so in a process of its own. It takes a few minutes, most "
        "of them to compile; --quick takes seconds. Exit code 0: all is well; 1: something of xconv is wrong or does "
        "not run, or a framework does not load; 2: wrong use, or a backend that is not there.",
        epilog="example: xconv doctor --quick",
    )
    doctor.add_argument(
        "--backend", action="append", metavar="NAME", help="a backend (default: all registered); repeatable"
    )
    doctor.add_argument("--quick", action="store_true", help="try nothing: only what is there and how it is set")
    doctor.add_argument("--json", action="store_true", help="as JSON, and nothing else")
    doctor.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Examine, and print.

    Args:
        arguments: what was read of the command line.

    Returns:
        The exit code: 0 if all is well, 1 if not.
    """
    from tqdm import tqdm

    from xconv.doctor import examine

    with tqdm(desc="loading", unit="check", leave=False, disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.set_description("checking", refresh=False)
            bar.total = total
            bar.update(done - bar.n)

        report = examine(arguments.backend, capabilities=not arguments.quick, progress=progress)
    if arguments.json:
        print(report.to_json())
    else:
        from xconv.doctor.text import shown

        print(shown(report))
    return WELL if report.ok else NOT_WELL
