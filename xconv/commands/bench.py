"""``xconv bench``: what is fastest here, for the catalogue's layers or for one of yours, and how sure that is."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xconv
from xconv.commands.options import padding, sizes, step
from xconv.core.operations import OPERATIONS
from xconv.system.errors import ArgumentError
from xconv.system.files import write_whole

if TYPE_CHECKING:
    from xconv.bench.results import Run
    from xconv.bench.running import Session, Settings
    from xconv.bench.suites import Question

FORMATS = ("json", "markdown", "html")
FINE, SLOWER, INTERRUPTED = 0, 1, 130

ROUNDS, ROUNDS_OF_OWN = 16, 12
"""Samples of each contender; for a layer of the user's own so few that the answer is there in a minute."""


def add(commands: Any) -> None:
    """Add the command to a parser's.

    Args:
        commands: what ``ArgumentParser.add_subparsers`` returned.
    """
    bench = commands.add_parser(
        "bench",
        help="measure what is fastest here, and how sure that is",
        description="Measure xconv on each backend against what you would otherwise run: on real layers, or with --op "
        "on one of yours, in every form. Each way of computing has a process of its own, results are verified before "
        "they are timed, and one contender is measured twice, so that no difference is claimed that is none. Exit "
        "code 0: measured; 1: a result is wrong, or with --compare something is slower; 2: wrong use; 130: "
        "interrupted, with what was measured until then.",
        epilog="example: xconv bench --op conv1d --input 8,16000,64 --kernel 9,64,64 --stride 2",
    )
    which = bench.add_argument_group("what is measured")
    which.add_argument("--tier", choices=["smoke", "default", "full"], default="smoke", help="how many real layers")
    which.add_argument("--case", default="", metavar="TEXT", help="only groups whose name contains this")
    which.add_argument(
        "--direction", choices=["forward", "forward+backward", "both"], help="default: both, of --op forward alone"
    )
    which.add_argument("--backend", action="append", metavar="NAME", help="default: all installed; repeatable")
    which.add_argument(
        "--peers", default="installed", help="who else: installed (default), all, none, or names such as jax,torch own"
    )
    layer = bench.add_argument_group("a layer of your own; shapes are channels last")
    layer.add_argument("--op", choices=_operations(), help="the operation, instead of the catalogue's layers")
    layer.add_argument("--input", type=sizes, metavar="N,W,C", help="shape of its input")
    layer.add_argument("--kernel", type=sizes, metavar="K,IN,OUT", help="shape of its weight")
    layer.add_argument("--stride", type=step, default=1)
    layer.add_argument("--dilation", type=step, default=1)
    layer.add_argument("--groups", type=int, default=1)
    layer.add_argument("--padding", type=padding, default="valid", help="a name, a number, or LOW,HIGH")
    how = bench.add_argument_group("how")
    how.add_argument("--threads", type=int, default=1, help="of each framework (default: 1, which repeats best)")
    how.add_argument("--device", default="cpu", help='"cpu" (default), "cuda:0", ...')
    how.add_argument("--rounds", type=int, help="samples of each contender (default: 16, of --op 12)")
    how.add_argument("--seed", type=int, default=0, help="of the order (default: 0)")
    out = bench.add_argument_group("what is written")
    for name, what in zip(FORMATS, ("the run, for machines", "a summary", "a page that opens offline"), strict=True):
        out.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write {what} there")
    out.add_argument("--compare", type=Path, metavar="RUN", help="tell what is slower than in an earlier --json file")
    out.add_argument("--merge", type=Path, nargs="+", metavar="RUN", help="runs side by side; nothing is measured")
    bench.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, write the files that were asked for, and compare.

    Args:
        arguments: what was read of the command line.

    Returns:
        The exit code: 0 if all was measured; 1 if a result is wrong, or something is slower than in ``--compare``; 130
            if it was interrupted.

    Raises:
        ArgumentError: an option does not fit.
    """
    _needs("scipy", *(("plotly",) if arguments.html else ()))
    from xconv.bench import regressions, run_files
    from xconv.bench.running import Settings, described_machine
    from xconv.bench.suites import OWN
    from xconv.bench.text import to_text

    if arguments.merge:
        if any(getattr(arguments, name) for name in FORMATS):
            raise ArgumentError("bench", "--merge", "an output file beside it", "nothing: it is printed")
        return _merge(arguments.merge)
    before = run_files.read(arguments.compare) if arguments.compare else None
    _look_at_layer(arguments)
    backends = backends_of(arguments.backend)
    settings = Settings(
        tier=OWN if arguments.op else arguments.tier,
        case=arguments.case,
        threads=arguments.threads,
        device=arguments.device,
        rounds=(ROUNDS_OF_OWN if arguments.op else ROUNDS) if arguments.rounds is None else arguments.rounds,
        seed=arguments.seed,
    )
    look_at(settings, {f"--{name}": getattr(arguments, name) for name in FORMATS})
    if before is not None:
        regressions.look_at(before, asdict(settings), described_machine())
    found = _measured(_questions(arguments, backends), settings, backends)
    print(to_text(found))
    for name in FORMATS:
        if file := getattr(arguments, name):
            write_whole(file, written(name, found))
    slower = False
    if before is not None and not found.interrupted:
        compared = regressions.compare(before, found)
        print(f"\nagainst {arguments.compare}, of {before.taken}\n\n{regressions.to_text(compared)}")
        slower = not compared.ok
    if found.interrupted:
        return INTERRUPTED
    wrong = any(result.is_wrong for group in found.groups for result in group.results)
    return SLOWER if slower or wrong else FINE


def written(name: str, run: Run) -> str:
    """A run in one of the formats.

    Args:
        name: "html", "markdown" or "json".
        run: what was measured.

    Returns:
        The whole text of the file.
    """
    if name == "html":
        from xconv.bench.page import to_html

        return to_html(run)
    if name == "markdown":
        from xconv.bench.markdown import to_markdown

        return to_markdown(run)
    from xconv.bench.run_files import to_json

    return json.dumps(to_json(run), indent=1) + "\n"


def _questions(arguments: argparse.Namespace, backends: Sequence[str]) -> Callable[[Session], Sequence[Question]]:
    """What is measured, looked at now; what the workers must be asked for comes later."""
    from xconv.bench.peers import choose
    from xconv.bench.running import chosen
    from xconv.bench.suites import SUITES

    try:
        peers, left = choose(arguments.peers)
    except ValueError as error:
        raise ArgumentError("bench", "--peers", arguments.peers, "installed, all, none, or names", str(error)) from None
    if left:
        names = ", ".join(peer.name for peer in left)
        print(f"Left out, as not installed: {names} (pip install 'xconv[all,peers]').", file=sys.stderr)
    if arguments.op:
        from xconv.bench.own_layer import own_layer, question

        options = {name: getattr(arguments, name) for name in ("stride", "dilation", "groups", "padding")}
        layer = own_layer(arguments.op, arguments.input, arguments.kernel, options)
        direction = arguments.direction or "forward"
        return lambda session: [question(layer, direction, peers, session)]
    made = [question for suite in SUITES.values() for question in suite(arguments.tier, backends, peers)]
    taken = chosen(made, arguments.case, arguments.direction or "both")
    if not taken:
        names = ", ".join(sorted({question.name.partition(" ")[0] for question in made})[:12])
        raise ArgumentError("bench", "--case", arguments.case, f"a part of a group's name: {names}, ...")
    return lambda _: taken


def _measured(questions: Callable[[Session], Sequence[Question]], settings: Settings, backends: Sequence[str]) -> Run:
    from tqdm import tqdm

    from xconv.bench import running

    with tqdm(unit="group", leave=False, disable=None) as bar:

        def progress(number: int, count: int, text: str) -> None:
            bar.total = count
            bar.set_description(f"{text:70.70}", refresh=False)
            bar.update(number - bar.n)
            bar.refresh()

        return running.run(questions, settings, backends, progress)


def _merge(files: Sequence[Path]) -> int:
    from tabulate import tabulate

    from xconv.bench import machines, run_files

    for title, headers, rows in machines.side_by_side([run_files.read(file) for file in files]):
        print(f"{title}\n{tabulate(rows, headers, disable_numparse=True)}\n")
    return FINE


def backends_of(asked: Sequence[str] | None) -> list[str]:
    """Those that were asked for, which must be there, or all that are.

    Args:
        asked: names; None or none: all that are installed.

    Returns:
        Names; of all that are installed torch comes first.

    Raises:
        BackendError: one is not there.
    """
    for name in asked or ():
        xconv.core.registry.known(name)
        if name not in xconv.backends():
            xconv.get_backend(name)  # which says what to install
    return list(asked or sorted(xconv.backends(), key=lambda name: (name != "torch", name != "tensorflow", name)))


def look_at(settings: Settings, files: Mapping[str, Path | None]) -> None:
    """Find out now what would be lost after minutes: numbers that are none, files that cannot be written.

    Args:
        settings: of the benchmark.
        files: the file that each option names, or None.

    Raises:
        ArgumentError: a number or a file does not fit.
    """
    for name in ("threads", "rounds"):
        if getattr(settings, name) < 1:
            raise ArgumentError("bench", f"--{name}", str(getattr(settings, name)), "a number, 1 or more")
    for option, file in files.items():
        if file and (not file.resolve().parent.is_dir() or file.is_dir()):
            raise ArgumentError("bench", option, str(file), "a file in a folder that exists")


def _operations() -> list[str]:
    """Those with one kernel, which is what the command line can say."""
    return [name for name, row in OPERATIONS.items() if not row.is_separable]


def _look_at_layer(arguments: argparse.Namespace) -> None:
    if arguments.op and arguments.case:
        raise ArgumentError("bench", "--case", arguments.case, "nothing beside --op: there is one layer, yours")
    given = [name for name in ("input", "kernel") if getattr(arguments, name) is not None]
    if given and not arguments.op:
        raise ArgumentError("bench", "--op", "nothing", f"one of {', '.join(_operations())}, with --input and --kernel")
    if arguments.op and len(given) < 2:
        missing = "--kernel" if "input" in given else "--input"
        raise ArgumentError("bench", missing, "nothing", "a shape, channels last: 8,16000,64")


def _needs(*modules: str) -> None:
    from importlib.util import find_spec

    absent = [module for module in modules if find_spec(module) is None]
    if absent:
        hint = "pip install 'xconv[bench]'"
        raise ArgumentError("bench", "installation", f"no {', '.join(absent)}", "what measuring needs", hint)
