"""An explanation as a text for reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xconv.explanation.explained import Explanation


def shown_seconds(seconds: float) -> str:
    """A time for reading.

    >>> shown_seconds(0.0123), shown_seconds(4.56e-6)
    ('12.3 ms', '4.56 us')
    """
    return (
        f"{seconds:.3g} s"
        if seconds >= 1
        else f"{seconds * 1e3:.3g} ms"
        if seconds >= 1e-3
        else f"{seconds * 1e6:.3g} us"
    )


def text(found: Explanation) -> str:
    """The facts as two columns, and the pictures below."""
    from tabulate import tabulate

    rows: list[tuple[str, str]] = [("output", str(found.output_shape))]
    for window in found.windows:
        first, *others = window.lines()
        rows.append((f"  along {window.axis}", first))
        rows += [("", line) for line in others]
    rows += [
        ("parameters", _parameters(found)),
        ("multiply-adds", _macs(found)),
        ("bytes", f"{found.bytes:,} at least: each array once, in {found.calls[0].problem.dtype}"),
        ("intensity", f"{found.intensity:.3g} FLOP per byte"),
        ("receptive field", _field(found)),
    ]
    rows += [("at best", _limits(found))] if found.limits is not None else []
    rows += [("would run", f"{plan.operation}: {plan}" if len(found.plans) > 1 else str(plan)) for plan in found.plans]
    rows += [("note", note) for note in found.notes]
    pictures = []
    for window in found.windows:
        picture = window.picture()
        if picture:
            title = f"along {window.axis} ({window.legend()}):"
            pictures.append(f"\n\n{title}\n\n{picture}")
    return f"{_title(found)}\n{tabulate(rows, tablefmt='plain', disable_numparse=True)}{''.join(pictures)}"


def _title(found: Explanation) -> str:
    kernels = " then ".join(map(str, found.weight_shapes))
    options = ", ".join(f"{name}={value!r}" for name, value in found.options.items() if name not in ("layout", "dtype"))
    return (
        f"{found.operation} of {found.input_shape} in {found.layout} with {kernels}{', ' if options else ''}{options}"
    )


def _parameters(found: Explanation) -> str:
    kernels = " + ".join(" * ".join(map(str, shape)) for shape in found.weight_shapes)
    bias = f" + {_outputs(found)} of the bias" if found.bias else ""
    return f"{found.parameters:,} = {kernels}{bias}"


def _outputs(found: Explanation) -> int:
    call = found.calls[-1]
    return call.problem.out_channels if call.direction == "forward" else call.problem.in_channels


def _macs(found: Explanation) -> str:
    parts = []
    for call in found.calls:
        problem = call.problem
        rows = 1 if call.vertical is None else call.vertical.kernel
        taps = f"{problem.kernel}" if rows == 1 else f"{rows} * {problem.kernel}"
        places = problem.outer * problem.output_length * problem.inner
        channels = f"{problem.group_in} * {problem.out_channels}"
        parts.append(f"{places:,} places * {taps} taps * {channels} channels")
    inside = found.useful_macs / found.macs if found.macs else 1.0
    what = "kept" if found.windows[0].transposed else "inside the signal"
    part = f"; {inside:.0%} of them {what}" if inside < 0.995 else ""
    return f"{found.macs:,} = {' + '.join(parts)}{part}"


def _field(found: Explanation) -> str:
    field = found.receptive_field
    least = "at most " if found.windows[0].transposed else ""
    if isinstance(field, int):
        return f"{least}{field}"
    return f"{field[0]} x {field[1]} (height x width)"


def _limits(found: Explanation) -> str:
    limits, least = found.limits, found.least_seconds
    assert limits is not None
    if least is None:
        return "not known: the limits were not measured"
    return (
        f"{shown_seconds(least)}; {found.binds} binds ({limits.flops / 1e9:.1f} GFLOP/s by a float32 matrix product, "
        f"{limits.bytes / 1e9:.1f} GB/s by a copy)"
    )
