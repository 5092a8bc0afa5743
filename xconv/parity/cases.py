"""Named problems with seeded inputs, for every operation, padding, border, stride, dilation, group and layout.

Every dimension has a different size, and inputs are never ones or zeros: both would hide a transpose.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import xconv
from xconv.core.bounds import round_to
from xconv.core.call import Call, resolve_all
from xconv.core.operations import OPERATIONS, Operation, along, find
from xconv.core.problem import PADDING_MODES, PADDING_NAMES
from xconv.core.reference import Floats
from xconv.system.child import as_tuples
from xconv.system.errors import ArgumentError, nearest

TIERS = ("smoke", "default", "full")
CHANNELS_FIRST = {"NWC": "NCW", "NHWC": "NCHW"}


@dataclass(frozen=True)
class Case:
    """An operation on arrays of some shapes, given in channels last; ``layout`` says how they are really passed.

    Attributes:
        name: of the case; it is part of the seed of the inputs.
        operation: the name of the operation.
        x_shape: of x, channels last.
        weight_shapes: of the kernel, or of both, channels last.
        options: as the operation takes them.
        bias: whether there is one.
        layout: in which the arrays are passed.

    >>> case = Case("mine", "conv1d", (2, 17, 3), ((3, 3, 5),), {"stride": 2, "padding": "same"})
    >>> [x.shape for x in case.inputs("integers", "float32")]
    [(2, 17, 3), (3, 3, 5), (5,), (2, 9, 5)]
    """

    name: str
    operation: str
    x_shape: tuple[int, ...]
    weight_shapes: tuple[tuple[int, ...], ...]
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    bias: bool = True
    layout: str = "NWC"

    def __post_init__(self) -> None:
        """What JSON made lists of are tuples again: the case is the same before and after it was sent."""
        for name in ("options", "x_shape", "weight_shapes"):
            object.__setattr__(self, name, as_tuples(getattr(self, name)))

    @property
    def weight_names(self) -> tuple[str, ...]:
        """What the operation calls its weights."""
        return self.row.weights

    @property
    def row(self) -> Operation:
        """The operation's row in the table."""
        return find(self.operation, "Case")

    def calls(self) -> list[Call]:
        """The resolved calls that it is made of: one, or two for the separable operation.

        Returns:
            The calls, in the order in which they run.
        """
        x_shape, *weights = self.passed_shapes()
        return resolve_all(self.operation, x_shape, weights, self._shape_of_bias(), **self.options, layout=self.layout)

    def inputs(self, kind: str, dtype: str, seed: int = 0) -> list[Floats]:
        """x, the weights, the bias if any, and a gradient for the result.

        Args:
            kind: "integers" (small: every partial sum is exact, so any order of summation gives the same bits) or
                "normal".
            dtype: in which the case is computed.
            seed: of the generator, beside the name.

        Returns:
            float64 arrays, in the case's layout, of values that the dtype holds exactly.
        """
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        calls = self.calls()
        bias = self._shape_of_bias()
        shapes = [*self.passed_shapes(), *([] if bias is None else [bias])]
        before = shapes[0]
        for call in calls:
            before = call.result_shape(before)
        shapes.append(before)
        if kind == "integers":
            return [rng.integers(-2, 3, shape).astype(np.float64) for shape in shapes]
        return [round_to(dtype, rng.standard_normal(shape)) for shape in shapes]

    def run(self, *arrays: Any, **how: Any) -> Any:
        """Call the operation on x, the weights and the bias if any.

        Args:
            arrays: x, the weights and the bias if any, in the case's layout.
            how: formulation, backend, device.

        Returns:
            The result, of the type of x.
        """
        return getattr(xconv, self.operation)(*arrays, **self.options, layout=self.layout, **how)

    def script(self, backend: str = "torch", seed: int = 0, kind: str = "integers") -> str:
        """A few lines that check this case alone.

        Args:
            backend: its name.
            seed: of the inputs.
            kind: "integers" or "normal".

        Returns:
            A Python program.
        """
        return "\n".join(
            [
                "import xconv",
                "from xconv.parity import Case, check",
                f"case = {self!r}",
                f"print(*check(xconv.get_backend({backend!r}), case, kind={kind!r}, seed={seed}), sep='\\n')",
            ]
        )

    def _shape_of_bias(self) -> tuple[int] | None:
        if not self.bias:
            return None
        if self.row.is_transposed:
            return (self.weight_shapes[-1][1] * self.options.get("groups", 1),)
        return (self.weight_shapes[-1][-1],)

    def passed_shapes(self) -> list[tuple[int, ...]]:
        """The shapes of x and the weights as they are passed, in the case's own layout.

        Returns:
            The shape of x, and of each weight.
        """
        if self.layout[-1] == "C":
            return [self.x_shape, *self.weight_shapes]
        n, *spatial, channels = self.x_shape
        kernels = [(*reversed(shape[-2:]), *shape[:-2]) for shape in self.weight_shapes]
        return [(n, channels, *spatial), *kernels]


_GEOMETRIES = (
    # stride, dilation, groups, in, out, kernel
    (1, 1, 1, 3, 5, 4),
    (2, 1, 1, 3, 5, 3),
    (1, 2, 1, 3, 5, 3),
    (3, 2, 1, 3, 5, 3),
    (4, 1, 1, 3, 5, 2),
    (1, 1, 2, 6, 4, 3),
    (2, 3, 3, 6, 9, 3),
    (1, 1, 6, 6, 6, 5),
    (2, 2, 4, 4, 8, 3),
    (1, 1, 1, 1, 7, 1),
)
_PADDINGS = (*PADDING_NAMES, 2, (3, 0), (0, 1))
_SPATIAL = {3: (17,), 4: (13, 14)}
_SPATIAL_TRANSPOSED = {3: (11,), 4: (9, 8)}
"""The sizes of the data by its rank; those that are upsampled are smaller."""


def _one_axis(row: Operation, geometry: tuple[int, ...], padding: Any, mode: str, bias: bool) -> Case:
    stride, dilation, groups, inputs, outputs, kernel = geometry
    options = {"stride": stride, "dilation": dilation, "groups": groups, "padding": padding, "padding_mode": mode}
    name = f"{row.name}-k{kernel}s{stride}d{dilation}g{groups}-{_said(padding)}-{mode}"
    shape, kernels = (2, *_SPATIAL[row.rank], inputs), ((kernel, inputs // groups, outputs),)
    return Case(name, row.name, shape, kernels, options, bias, row.layouts[0])


def _transposed(row: Operation, geometry: tuple[int, ...], padding: Any, extra: int) -> Case:
    stride, dilation, groups, inputs, outputs, kernel = geometry
    options = {
        "stride": stride,
        "dilation": dilation,
        "groups": groups,
        "padding": padding,
        "output_padding": extra if padding not in ("same", "same_lower", "causal") and stride > 1 else 0,
    }
    name = f"{row.name}-k{kernel}s{stride}d{dilation}g{groups}-{_said(padding)}"
    shape, kernels = (2, *_SPATIAL_TRANSPOSED[row.rank], outputs), ((kernel, inputs // groups, outputs),)
    return Case(name, row.name, shape, kernels, options, True, row.layouts[0])


def _two_axes(row: Operation, index: int, geometry: tuple[int, ...], padding: Any, mode: str) -> Case:
    stride, dilation, groups, inputs, outputs, kernel = geometry
    options = {
        "stride": (stride, 1 + index % 2),
        "dilation": (1 + index % 3 // 2, dilation),
        "groups": groups,
        "padding": padding,
        "padding_mode": mode,
    }
    name = f"{row.name}-k{kernel}s{stride}d{dilation}g{groups}-{_said(padding)}-{mode}"
    if row.is_2d:
        weights: tuple[tuple[int, ...], ...] = ((kernel, 3, inputs // groups, outputs),)
    else:
        middle = 2 * groups
        weights = ((kernel, inputs // groups, middle), (3, middle // groups, outputs))
    shape = (2, *_SPATIAL[row.rank], inputs)
    return Case(name, row.name, shape, weights, options, index % 2 == 0, row.layouts[0])


def _special() -> Iterator[Case]:
    """Sizes at which frameworks differ, refuse, or abort."""
    for row in along(3) + along(4, "H"):
        operation = row.name
        shape, layout, kernel = (2, *_SPATIAL[row.rank], 3), row.layouts[0], ((3, 3, 5),)
        yield Case(f"{operation}-empty-batch", operation, (0, *shape[1:]), kernel, {"padding": 1}, True, layout)
        one = (2, 1, *shape[2:]) if layout == "NHWC" else (2, 1, 3)
        yield Case(f"{operation}-length-1", operation, one, kernel, {"padding": "same"}, True, layout)
        none = (2, 0, *shape[2:]) if layout == "NHWC" else (2, 0, 3)
        yield Case(f"{operation}-length-0", operation, none, kernel, {"padding": "same"}, True, layout)
    yield Case("conv1d_rows-one-place", "conv1d_rows", (2, 8, 7, 1), ((3, 1, 2),), {"stride": 8}, True, "NHWC")
    yield Case("conv2d-one-place", "conv2d", (2, 8, 7, 1), ((2, 3, 1, 2),), {"stride": (2, 8)}, True, "NHWC")
    one_tap = {"stride": 16, "padding": (0, 1)}
    yield Case("conv1d_rows-one-place-padded", "conv1d_rows", (2, 20, 20, 1), ((16, 1, 3),), one_tap, True, "NHWC")
    yield Case("conv1d_transpose-length-0", "conv1d_transpose", (2, 0, 5), ((3, 4, 5),))
    yield Case("conv1d-kernel-is-input", "conv1d", (2, 9, 3), ((9, 3, 5),))
    yield Case("conv1d-stride-beyond-kernel", "conv1d", (2, 17, 3), ((2, 3, 5),), {"stride": 5, "padding": "same"})
    yield Case("conv1d-unused-tail", "conv1d", (2, 18, 3), ((3, 3, 5),), {"stride": 4})
    yield Case("conv1d-full-long-kernel", "conv1d", (2, 3, 3), ((7, 3, 5),), {"padding": "full"}, False)
    yield Case("conv1d_rows-empty-height", "conv1d_rows", (2, 0, 14, 3), ((3, 3, 5),), {}, True, "NHWC")
    yield Case("conv1d_columns-empty-width", "conv1d_columns", (2, 13, 0, 3), ((3, 3, 5),), {}, True, "NHWC")
    yield Case("conv2d-empty-batch", "conv2d", (0, 13, 14, 3), ((3, 2, 3, 5),), {}, True, "NHWC")
    yield Case("conv1d_transpose-empty-batch", "conv1d_transpose", (0, 11, 5), ((3, 4, 5),), {"stride": 2})
    yield Case("conv1d_transpose-kernel-below-stride", "conv1d_transpose", (2, 11, 5), ((2, 4, 5),), {"stride": 3})
    # XLA gives wrong values for its input gradient
    yield Case("conv1d-pads-beyond-reach", "conv1d", (2, 17, 16), ((3, 16, 16),), {"padding": (3, 1)})


def _all() -> Iterator[Case]:
    along_one = [row for row in OPERATIONS.values() if not row.takes_pairs]
    upsampling = [row for row in along_one if row.is_transposed]
    always = [row for row in along_one if row.rank == 3 and row not in upsampling and row.takes_formulation]
    by_one_way = [row for row in along_one if row.rank == 3 and row not in upsampling + always]
    # on feature maps every second geometry is enough, as a line of one is a signal
    maps = [(at, row) for at, row in enumerate(row for row in along_one if row.rank == 4 and row not in upsampling)]
    for i, geometry in enumerate(_GEOMETRIES):
        for j, padding in enumerate(_PADDINGS):
            yield from (_one_axis(row, geometry, padding, "zeros", (i + j) % 2 == 0) for row in always)
            if (i + j) % 3 == 0:
                yield from (_one_axis(row, geometry, padding, "zeros", j % 2 == 0) for row in by_one_way)
            taken = [row for at, row in maps if (at + j) % 2 == 0]
            yield from (_one_axis(row, geometry, padding, "zeros", i % 2 == 0) for row in taken)
            yield from (_transposed(row, geometry, padding, extra=1) for row in upsampling)
    for i, geometry in enumerate(_GEOMETRIES):
        for j, mode in enumerate(PADDING_MODES[1:]):
            padding = ("same", "causal", (1, 2), "same_lower")[(i + j) % 4]
            yield from (_one_axis(row, geometry, padding, mode, True) for row in always)
            taken = [row for at, row in maps if (at + i + j) % 2 == 0]
            yield from (_one_axis(row, geometry, padding, mode, False) for row in taken)
    along_two = sorted((row for row in OPERATIONS.values() if row.takes_pairs), key=lambda row: row.is_separable)
    for i, geometry in enumerate(_GEOMETRIES):
        for j, row in enumerate(along_two):
            padding = ("valid", "same", (1, (2, 0)), "causal", ("full", "same_lower"))[(i + j) % 5]
            mode = PADDING_MODES[i % 4 if padding != ("full", "same_lower") else 0]
            yield _two_axes(row, i, geometry, padding, mode)
    yield from _special()


def cases(tier: str = "default") -> list[Case]:
    """The cases of a tier, each in both layouts: "smoke" is every seventh, "default" and "full" are all.

    >>> len({case.name for case in cases()}) == len(cases())
    True
    """
    if tier not in TIERS:
        raise ArgumentError(
            "parity.cases", "tier", repr(tier), f"one of {', '.join(map(repr, TIERS))}", nearest(tier, TIERS)
        )
    found = []
    for case in _all():
        found.append(case)
        other = CHANNELS_FIRST[case.layout]
        found.append(
            Case(
                f"{case.name}-{other}",
                case.operation,
                case.x_shape,
                case.weight_shapes,
                case.options,
                case.bias,
                other,
            )
        )
    return found[::7] if tier == "smoke" else found


def _said(padding: Any) -> str:
    return str(padding).replace(" ", "").replace("'", "")
