"""``xconv explain``: what a convolution of some shapes gives, and what it costs."""

from __future__ import annotations

import argparse
from typing import Any

from xconv.commands.options import padding, sizes, step
from xconv.core.operations import OPERATIONS
from xconv.core.problem import DTYPES, PADDING_MODES
from xconv.explanation.explained import explain
from xconv.system.errors import ArgumentError

DONE = 0


def add(commands: Any) -> None:
    """Add the command to a parser's.

    Args:
        commands: what ``ArgumentParser.add_subparsers`` returned.
    """
    parser = commands.add_parser(
        "explain",
        help="what a convolution of some shapes gives: output, parameters, cost, receptive field, plan",
        description="Tell the shape of the result and how it came about (the padding resolved, and a picture of the "
        "taps), parameters, multiply-adds, bytes, arithmetic intensity and receptive field; with --limits the least "
        "time that this machine allows; with --backend what would run there, and why; with --against the same setting "
        "as other operations, side by side. Nothing is computed, and no framework is loaded unless --backend names it.",
        epilog="example: xconv explain conv2d --input 1,32,32,64 --kernel 3,3,64,64 --padding same "
        "--against spatially_separable_conv2d --middle 16",
    )
    parser.add_argument("operation", choices=OPERATIONS)
    parser.add_argument("--input", type=sizes, required=True, metavar="N,W,C", help="shape of the input, in the layout")
    parser.add_argument(
        "--kernel",
        type=sizes,
        required=True,
        action="append",
        metavar="K,IN,OUT",
        help="shape of the weight, in the layout; the separable operation takes two, the rows' and the columns'",
    )
    parser.add_argument("--layout", help='"NWC" or "NHWC" (default), "NCW", "NCHW"')
    parser.add_argument("--stride", type=step, default=1, help="a number; for conv2d and separable also HEIGHT,WIDTH")
    parser.add_argument("--dilation", type=step, default=1, help="as --stride")
    parser.add_argument("--groups", type=int, default=1)
    parser.add_argument("--padding", type=padding, default="valid", help="a name, a number, or LOW,HIGH")
    parser.add_argument("--padding-mode", choices=PADDING_MODES, default="zeros")
    parser.add_argument("--output-padding", type=int, help="of conv1d_transpose")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--no-bias", action="store_true")
    parser.add_argument(
        "--against", action="append", default=[], choices=OPERATIONS, help="another operation beside it; repeatable"
    )
    parser.add_argument("--middle", type=int, metavar="M", help="channels between the separable operation's two steps")
    parser.add_argument("--backend", metavar="NAME", help="tell what would run on this backend, which is loaded")
    parser.add_argument("--device", default="cpu", help='"cpu" (default), "cuda:0", ...')
    parser.add_argument("--limits", action="store_true", help="measure this machine's limits, for a second or two")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Explain, and print.

    Args:
        arguments: what was read of the command line.

    Returns:
        The exit code: 0.

    Raises:
        ArgumentError: the shapes or an option do not fit.
        BackendError: the backend is not there.
    """
    from xconv.explanation.variants import side_by_side

    names = ("stride", "dilation", "groups", "padding", "padding_mode", "layout", "dtype")
    options = {name: getattr(arguments, name) for name in names}
    options = {name: value for name, value in options.items() if value not in (None, *_DEFAULTS.get(name, ()))}
    if arguments.output_padding is not None:
        options["output_padding"] = arguments.output_padding
    if arguments.middle is not None and not any(OPERATIONS[name].is_separable for name in arguments.against):
        known = " or ".join(row.name for row in OPERATIONS.values() if row.is_separable)
        raise ArgumentError("explain", "--middle", str(arguments.middle), f"--against {known}, whose width it is")
    found = explain(
        arguments.operation,
        arguments.input,
        *arguments.kernel,
        bias=not arguments.no_bias,
        backend=arguments.backend,
        device=arguments.device,
        limits=arguments.limits,
        **options,
    )
    if not arguments.against:
        print(found.to_json() if arguments.json else found)
        return DONE
    others = (
        found.as_operation(name, arguments.middle if OPERATIONS[name].is_separable else None)
        for name in arguments.against
    )
    table = side_by_side(found, *others)
    print(table.to_json() if arguments.json else table)
    return DONE


_DEFAULTS: dict[str, tuple[object, ...]] = {
    "stride": (1,),
    "dilation": (1,),
    "groups": (1,),
    "padding": ("valid",),
    "padding_mode": ("zeros",),
    "dtype": ("float32",),
}
