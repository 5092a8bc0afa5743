"""The table of operations: what tells one operation from another is a row here, and everything else reads it.

A row says which data an operation takes and along which axes its kernel slides. Shapes, errors, layers, costs, parity
cases and benchmarks follow from that. How an operation is added: ``docs/design.md``, "Add an operation".
"""

from __future__ import annotations

from dataclasses import dataclass

from xconv.system.errors import ArgumentError, nearest

SIGNALS, MAPS = ("NWC", "NCW"), ("NHWC", "NCHW")
"""The layouts of an operation on signals and of one on feature maps; the default first."""

OPTIONS = ("stride", "padding", "padding_mode", "dilation", "groups", "layout")
"""The options that every operation takes, in the order in which its function passes them on."""


@dataclass(frozen=True)
class Operation:
    """A row of the table.

    Attributes:
        name: of the public function in :mod:`xconv.ops`.
        layouts: of the data that it takes, :data:`SIGNALS` or :data:`MAPS`.
        axes: along which its kernel slides, "W" or "H"; "HW" for both.
        direction: of the problem that it computes: "forward", or "input_gradient" for a transposed convolution.
        steps: the operations that it is made of, in their order; none for an operation with a kernel of its own.
        weights: what its function calls its kernels; of a separable operation one for each step.
        formulation: the one that always computes it; empty for an operation that takes ``formulation``.
        layer: what the layers of the backends call it; empty where there is none.
        advice: what :func:`xconv.advise` calls it; empty for what is never advised.

    Raises:
        ValueError: the row contradicts itself.

    >>> row = OPERATIONS["conv1d_columns"]
    >>> row.rank, row.axis, row.kernel(channels_last=False)
    (4, 1, '(out, in/groups, kernel)')
    """

    name: str
    layouts: tuple[str, str]
    axes: str
    direction: str = "forward"
    steps: tuple[str, ...] = ()
    weights: tuple[str, ...] = ("weight",)
    formulation: str = ""
    layer: str = ""
    advice: str = ""

    def __post_init__(self) -> None:
        spatial = self.layouts[0].strip("NC")
        if self.layouts not in (SIGNALS, MAPS) or self.axes not in (*spatial, spatial):
            raise ValueError(f"{self.name}: no kernel slides along {self.axes!r} of {self.layouts}")
        if len(self.weights) != max(len(self.steps), 1):
            raise ValueError(f"{self.name}: {len(self.weights)} weights for {len(self.steps)} steps")
        if self.direction not in ("forward", "input_gradient") or (self.is_transposed and len(self.axes) > 1):
            raise ValueError(f"{self.name}: no operation computes the {self.direction} along {self.axes!r}")

    @property
    def rank(self) -> int:
        """The number of axes of its input: 3 for signals, 4 for feature maps."""
        return len(self.layouts[0])

    @property
    def axis(self) -> int:
        """The axis of a channels-last array that its kernel slides along; of two axes the last."""
        return self.layouts[0].index(self.axes[-1])

    @property
    def is_transposed(self) -> bool:
        """Whether it is a transposed convolution: one that computes the gradient of another for its input."""
        return self.direction == "input_gradient"

    @property
    def is_separable(self) -> bool:
        """Whether it is made of other operations, one after the other, each with a kernel of its own."""
        return bool(self.steps)

    @property
    def is_2d(self) -> bool:
        """Whether one kernel of it slides along two axes."""
        return len(self.axes) == 2 and not self.steps

    @property
    def takes_pairs(self) -> bool:
        """Whether its stride, dilation and padding may be a pair: (height, width)."""
        return len(self.axes) == 2

    @property
    def takes_formulation(self) -> bool:
        """Whether a caller may say by which formulation it is computed."""
        return not self.formulation

    @property
    def options(self) -> tuple[str, ...]:
        """The names of its options, in the order in which its function passes them on."""
        return (*OPTIONS, "output_padding") if self.is_transposed else OPTIONS

    @property
    def parts(self) -> tuple[Operation, ...]:
        """The operations that have its kernels: its steps, or itself."""
        return tuple(OPERATIONS[step] for step in self.steps) or (self,)

    @property
    def kernel_axes(self) -> tuple[str, ...]:
        """What the axes of its kernel hold, channels last; of a separable operation those of each step's kernel."""
        window = ("kh", "kw") if self.is_2d else ("kernel",)
        return (*window, "out/groups", "in") if self.is_transposed else (*window, "in/groups", "out")

    def kernel(self, channels_last: bool) -> str:
        """The axes of its kernel as a text.

        >>> OPERATIONS["conv2d"].kernel(channels_last=True), OPERATIONS["conv2d"].kernel(channels_last=False)
        ('(kh, kw, in/groups, out)', '(out, in/groups, kh, kw)')
        """
        *window, inner, outer = self.kernel_axes
        return f"({', '.join([*window, inner, outer] if channels_last else [outer, inner, *window])})"

    def spatial(self, along: int, across: int) -> tuple[int, ...]:
        """The spatial sizes of data, or of a kernel, from the one along its one axis and the one across.

        >>> OPERATIONS["conv1d"].spatial(5, 1), OPERATIONS["conv1d_columns"].spatial(5, 1)
        ((5,), (5, 1))
        """
        return tuple(along if axis == self.axes else across for axis in self.layouts[0].strip("NC"))


OPERATIONS = {
    row.name: row
    for row in (
        Operation("conv1d", SIGNALS, "W", layer="Conv1D", advice="conv1d"),
        Operation("conv2d_as_1d", SIGNALS, "W", formulation="conv2d", layer="Conv2DAs1D"),
        Operation("conv1d_rows", MAPS, "W", layer="Conv1DRows", advice="rows"),
        Operation("conv1d_columns", MAPS, "H", layer="Conv1DColumns", advice="columns"),
        Operation(
            "spatially_separable_conv2d",
            MAPS,
            "HW",
            steps=("conv1d_rows", "conv1d_columns"),
            weights=("weight_rows", "weight_columns"),
            layer="SpatiallySeparableConv2D",
            advice="separable",
        ),
        Operation("conv2d", MAPS, "HW", formulation="conv2d", advice="conv2d"),
        Operation("conv1d_transpose", SIGNALS, "W", direction="input_gradient", layer="Conv1DTranspose"),
    )
}
"""The rows by name."""


def find(name: object, asked_by: str = "resolve") -> Operation:
    """The row of a name.

    Raises:
        ArgumentError: there is no such operation.

    >>> find("conv1d_rows").axes
    'W'
    """
    row = OPERATIONS.get(name) if isinstance(name, str) else None
    if row is None:
        known = list(OPERATIONS)
        expected = "one of " + ", ".join(map(repr, known))
        raise ArgumentError(asked_by, "operation", repr(name), expected, nearest(str(name), known))
    return row


def along(rank: int, axes: str = "HW") -> list[Operation]:
    """The plain convolutions of arrays of a rank: forward, along one of these axes, by any formulation.

    >>> [row.name for row in along(4)], [row.name for row in along(3)], [row.name for row in along(4, "H")]
    (['conv1d_rows', 'conv1d_columns'], ['conv1d'], ['conv1d_columns'])
    """
    return [
        row
        for row in OPERATIONS.values()
        if row.rank == rank and row.axes in tuple(axes) and not row.is_transposed and row.takes_formulation
    ]


def transposed(layouts: tuple[str, str]) -> Operation:
    """The transposed convolution of data of these layouts; where there is none, that of signals.

    >>> transposed(SIGNALS).name
    'conv1d_transpose'
    """
    every = [row for row in OPERATIONS.values() if row.is_transposed]
    return next((row for row in every if row.layouts == layouts), every[0])


def layers() -> dict[str, Operation]:
    """The operations that the layers compute, by the name of the layer.

    >>> layers()["Conv1DTranspose"].name
    'conv1d_transpose'
    """
    return {row.layer: row for row in OPERATIONS.values() if row.layer}
