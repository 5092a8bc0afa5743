"""``xconv parity``: check the backends, and write what was found where people and machines look."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from xconv.system.errors import ArgumentError
from xconv.system.files import write_whole

AGREE, DISAGREE, INTERRUPTED = 0, 1, 130
FORMATS = ("json", "junit", "markdown", "html")


def add(commands: Any) -> None:
    """Add the command to a parser's.

    Args:
        commands: what ``ArgumentParser.add_subparsers`` returned.
    """
    parity = commands.add_parser(
        "parity",
        help="check that the backends compute the same",
        description="Compare every operation on every backend with a float64 reference: bit for bit on small integers, "
        "and against a derived error bound on random data. Exit code 0: all agree; 1: something differs; 2: wrong use, "
        "or a backend or device that is not there; 130: interrupted, with what was found until then.",
        epilog="example: xconv parity --backend torch --backend tensorflow --fuzz 200 --html parity.html",
    )
    parity.add_argument("--backend", action="append", metavar="NAME", help="default: all installed; repeatable")
    parity.add_argument("--device", action="append", metavar="NAME", help='"cpu", "cuda:0" (default: all); repeatable')
    parity.add_argument("--dtype", action="append", metavar="NAME", help="float32, ... (default: all four); repeatable")
    parity.add_argument("--tier", choices=["smoke", "default", "full"], default="smoke", help="how many cases")
    parity.add_argument(
        "--mode",
        action="append",
        choices=["eager", "compiled"],
        help="default: both; compiled is torch.compile, tf.function, XLA; repeatable",
    )
    parity.add_argument(
        "--formulations", choices=["all", "auto"], default="all", help="every formulation, or what a user gets"
    )
    parity.add_argument(
        "--fuzz", type=int, default=0, metavar="N", help="N cases more, drawn at random, on each backend"
    )
    parity.add_argument("--seed", type=int, default=0, help="of the inputs and of what is drawn (default: 0)")
    parity.add_argument("--limit", type=float, default=120, metavar="S", help="seconds for one case (default: 120)")
    for name, what in zip(FORMATS, ("all rows", "for CI", "a summary", "a page that opens offline"), strict=True):
        parity.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write {what} there")
    parity.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check, print a summary, and write the files that were asked for.

    Args:
        arguments: what was read of the command line.

    Returns:
        The exit code: 0 if all agree, 1 if something differs, 130 if it was interrupted.

    Raises:
        ArgumentError: an option does not fit.
        BackendError: a backend is not there.
    """
    from tqdm import tqdm

    from xconv import parity

    _look_at(arguments)
    with tqdm(desc="checking", unit="case", leave=False, disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        report = parity.run(
            arguments.backend,
            arguments.device,
            arguments.dtype,
            modes=arguments.mode or parity.MODES,
            cases=arguments.tier,
            fuzz=arguments.fuzz,
            seed=arguments.seed,
            formulations=arguments.formulations,
            limit_s=arguments.limit,
            progress=progress,
        )
    print(report)
    for name in FORMATS:
        if file := getattr(arguments, name):
            write_whole(file, _written(name, report))
    if report.interrupted:
        return INTERRUPTED
    return AGREE if report.ok else DISAGREE


def _look_at(arguments: argparse.Namespace) -> None:
    """Find out now what would be lost after minutes."""
    if arguments.fuzz < 0:
        raise ArgumentError("parity", "--fuzz", str(arguments.fuzz), "a number of cases, 0 or more")
    if not arguments.limit > 0:
        raise ArgumentError("parity", "--limit", str(arguments.limit), "a number of seconds above 0")
    for name in FORMATS:
        file = getattr(arguments, name)
        if file and (not file.resolve().parent.is_dir() or file.is_dir()):
            raise ArgumentError("parity", f"--{name}", str(file), "a file in a folder that exists")


def _written(name: str, report: Any) -> str:
    from xconv.parity import formats

    if name == "html":
        from xconv.parity.page import to_html

        return to_html(report)
    text: str = getattr(formats, f"to_{name}")(report)
    return text
