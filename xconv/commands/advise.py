"""``xconv advise``: which convolution fits the data in a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from xconv.system.errors import ArgumentError

FOUND, NOTHING = 0, 1


def add(commands: Any) -> None:
    """Add the command to a parser's.

    Args:
        commands: what ``ArgumentParser.add_subparsers`` returned.
    """
    advise = commands.add_parser(
        "advise",
        help="which convolution fits the data in a file: 1-D, rows, columns, separable, 2-D, or none",
        description="Test whether neighbours in the data depend on each other, along which axes, how far, and whether "
        "one axis or a product of both holds what there is; tell the operation with the fewest weights that fits, the "
        "evidence, and what each would cost. Files: .npy, .npz, .wav, .csv (a column is a channel), .png. Exit code 0: "
        "a convolution fits; 1: none does, or there is not enough data; 2: wrong use, or a file that cannot be read.",
        epilog="example: xconv advise spectrogram.npy --axes HW --plot evidence.png",
    )
    advise.add_argument("file", type=Path, help="the data")
    advise.add_argument(
        "--axes",
        metavar="LETTERS",
        help="a letter for each axis: N samples, L positions of a series, H and W of a map, C channels; "
        "NLC, HW, NHWC, NCHW, ...",
    )
    advise.add_argument("--key", metavar="NAME", help="which array of a .npz file")
    advise.add_argument(
        "--keep",
        type=float,
        default=0.9,
        metavar="SHARE",
        help="share of the dependence that an operation with fewer weights must hold (default: 0.9)",
    )
    advise.add_argument("--seed", type=int, default=0, help="of the surrogates (default: 0)")
    advise.add_argument("--measure", action="store_true", help="time the operations, too, on the default backend")
    advise.add_argument("--plot", type=Path, metavar="FILE", help="write a picture of the evidence; needs matplotlib")
    advise.add_argument("--json", action="store_true", help="as JSON, and nothing else")
    advise.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read, test, and print.

    Args:
        arguments: what was read of the command line.

    Returns:
        The exit code: 0 if a convolution fits, 1 if none does or there is not enough data.

    Raises:
        ArgumentError: an option or the file does not fit.
    """
    from tqdm import tqdm

    from xconv.advice import advise
    from xconv.advice.read import read

    if arguments.seed < 0:
        raise ArgumentError("advise", "--seed", str(arguments.seed), "0 or more")
    if arguments.plot is not None and (not arguments.plot.resolve().parent.is_dir() or arguments.plot.is_dir()):
        raise ArgumentError("advise", "--plot", str(arguments.plot), "a file in a folder that exists")
    array, axes, notes = read(arguments.file, arguments.key)
    # what takes no two seconds shows no bar
    with tqdm(desc="testing", unit="surrogate", leave=False, disable=None, delay=2) as bar:

        def progress(done: int, most: int) -> None:
            bar.total = most
            bar.update(done - bar.n)

        advice = advise(
            array,
            arguments.axes or axes,
            keep=arguments.keep,
            measure=arguments.measure,
            seed=arguments.seed,
            progress=progress,
        )
    if arguments.plot is not None:
        advice.plot(arguments.plot)
    if arguments.json:
        print(advice.to_json())
    else:
        print("\n".join([str(advice), *(f"- {note}" for note in notes)]))
    return NOTHING if advice.recommendation == "none" else FOUND
