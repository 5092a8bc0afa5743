"""``xconv tune``: measure layers and keep what was found."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import xconv
from xconv.commands.options import padding, sizes
from xconv.core.call import Call, resolve
from xconv.core.operations import OPERATIONS, find
from xconv.core.registry import name_of_model
from xconv.system.errors import ArgumentError


def add(commands: Any) -> None:
    """Add the command to a parser's.

    Args:
        commands: what ``ArgumentParser.add_subparsers`` returned.
    """
    tune = commands.add_parser(
        "tune",
        help="measure which formulation is fastest here, and remember it",
        description="Measure the formulations that are expected to be fastest against the framework's own op, on the "
        "layers of the catalogue, of a model, or on one layer of yours, and keep the fastest in the wisdom file. A "
        "program uses it after xconv.wisdom.load().",
        epilog="example: xconv tune --backend torch --op conv1d --input 8,16000,64 --kernel 9,64,64 --padding same",
    )
    tune.add_argument("--backend", action="append", metavar="NAME", help="default: all installed; repeatable")
    tune.add_argument("--device", default="cpu", help='"cpu" (default), "cuda:0", ...')
    tune.add_argument("--tier", choices=["smoke", "default"], default="smoke", help="layers of the catalogue")
    tune.add_argument(
        "--model",
        metavar="MODULE:NAME",
        help="the layers of a torch or Keras model: an importable model, or a function without arguments that makes it",
    )
    tune.add_argument("--op", choices=_operations(), help="one layer instead of the catalogue")
    tune.add_argument("--input", type=sizes, metavar="N,W,C", help="shape of its input, in the layout, or the model's")
    tune.add_argument("--kernel", type=sizes, metavar="K,IN,OUT", help="shape of its weight, in the layout")
    tune.add_argument("--layout", help='"NWC" or "NHWC" (default), "NCW", "NCHW"')
    tune.add_argument("--stride", type=int, default=1)
    tune.add_argument("--dilation", type=int, default=1)
    tune.add_argument("--groups", type=int, default=1)
    tune.add_argument("--padding", type=padding, default="valid", help="a name, a number, or LOW,HIGH")
    tune.add_argument("--threads", type=int, metavar="N", help="default: as the framework has it")
    tune.add_argument("--wisdom", type=Path, metavar="FILE", help="where to keep it (default: the user's cache)")
    tune.add_argument("--forget", action="store_true", help="forget all wisdom, the file's too, and measure nothing")
    tune.add_argument("--json", action="store_true", help="as JSON")
    tune.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, save, and print a table.

    Args:
        arguments: what was read of the command line.

    Returns:
        The exit code: 0.
    """
    from tabulate import tabulate

    from xconv.planning.tuning import tune

    if arguments.forget:
        print(f"forgotten: {xconv.wisdom.forget(file=arguments.wisdom or True)} entries")
        return 0
    calls, rows = _calls(arguments), []
    for name in arguments.backend or sorted(xconv.backends(), key=lambda name: name != "torch"):
        backend = xconv.get_backend(name)
        if arguments.threads is not None:
            backend.set_threads(arguments.threads)
        for found in tune(calls, backend=name, device=arguments.device):
            problem = found.problem
            layer = f"{problem.in_channels}->{problem.out_channels} k{problem.kernel}"
            layer += f" s{problem.stride} d{problem.dilation} g{problem.groups}, {problem.outer} x {problem.length}"
            times = {n: float(f"{s * 1e3:.4g}") for n, s in sorted(found.seconds.items(), key=lambda item: item[1])}
            rows.append(
                {
                    "backend": name,
                    "layer": layer,
                    "direction": found.direction,
                    "fastest": found.formulation,
                    "over own": round(found.gain, 2),
                    "ms": times,
                    "wrong": list(found.wrong),
                }
            )
    file = xconv.wisdom.save(arguments.wisdom)
    if arguments.json:
        print(json.dumps(rows))
        return 0
    told = [[" ".join(f"{n} {s}" for n, s in v.items()) if k == "ms" else v for k, v in r.items()] for r in rows]
    shown = [[cell if cell != [] else "" for cell in row] for row in told]
    print(tabulate(shown, list(rows[0]) if rows else [], maxcolwidths=[None, 30, None, None, None, 50, None]))
    print(f"\nkept in {file}; a program uses it after xconv.wisdom.load()")
    return 0


def _operations() -> list[str]:
    """Those with one kernel and a formulation to choose."""
    return [name for name, row in OPERATIONS.items() if row.takes_formulation and not row.is_separable]


def _calls(arguments: argparse.Namespace) -> list[Call]:
    if arguments.model is not None:
        return _of_model(arguments)
    if arguments.op is None:
        if arguments.input or arguments.kernel:
            raise ArgumentError(
                "tune", "--op", "nothing", f"one of {', '.join(_operations())}, with --input and --kernel"
            )
        from xconv.bench import catalogue

        found: list[Call] = []
        for layer in catalogue(arguments.tier):
            if not find(layer.operation).is_2d:
                found += layer.calls
        return found
    if arguments.input is None or arguments.kernel is None:
        raise ArgumentError(
            "tune", "--input" if arguments.input is None else "--kernel", "nothing", "a shape: 8,1000,3"
        )
    options = {name: getattr(arguments, name) for name in ("stride", "dilation", "groups", "padding", "layout")}
    return [resolve(arguments.op, arguments.input, arguments.kernel, **options)]


def _of_model(arguments: argparse.Namespace) -> list[Call]:
    """The layers of a model, each once; by default they are measured on the model's own framework."""
    if arguments.input is None:
        raise ArgumentError("tune", "--input", "nothing", "the shape of the model's input: 8,3,1000")
    module, _, name = arguments.model.partition(":")
    sys.path.insert(0, "")  # as `python -m` does
    try:
        model = getattr(importlib.import_module(module), name or "model")
    except (ImportError, AttributeError, ValueError) as error:
        raise ArgumentError(
            "tune", "--model", arguments.model, "MODULE:NAME that can be imported", str(error)
        ) from None
    finally:
        sys.path.remove("")
    model = model if name_of_model(model) is not None else model()
    owner = name_of_model(model)
    arguments.backend = arguments.backend or (owner and [owner])
    return list(dict.fromkeys(xconv.convolutions(model, arguments.input)))
