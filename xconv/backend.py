"""What a backend is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from xconv.errors import UnsupportedError
from xconv.formulation import Array, Formulation
from xconv.problem import ConvProblem, Size

if TYPE_CHECKING:
    import numpy as np

    from xconv.call import Call
    from xconv.plan import Chosen


class Backend(ABC):
    """A framework's adapter: its arrays, devices, formulations, gradients and compilers.

    A backend writes the abstract methods. :meth:`run` and :meth:`run_2d` are the way in for the operations: they put
    border values into the array and answer problems without a result, so that no formulation meets either.
    """

    name: str
    formulations: Sequence[Formulation]
    modes: Sequence[str] = ()
    """The names of the framework's tracing compilers, for :meth:`compiled`."""

    # --- arrays ---

    @abstractmethod
    def unusable(self, array: Array) -> str | None:
        """Why an array of this framework cannot be convolved (it is sparse, ragged, ...), or None."""

    @abstractmethod
    def prepare(self, array: Array) -> Array:
        """An array as the framework computes with it (a variable is read, autocasting is applied)."""

    @abstractmethod
    def shape(self, array: Array) -> tuple[Size, ...]:
        """Sizes, as ``int`` where they are known."""

    @abstractmethod
    def dtype(self, array: Array) -> str:
        """The NumPy name of the element type."""

    @abstractmethod
    def device(self, array: Array) -> str | None:
        """Where the array lives, in xconv's words ("cpu", "cuda:0"), or None if that is not known while tracing."""

    @abstractmethod
    def from_numpy(self, array: np.ndarray, device: str) -> Array:
        """A NumPy array on a device of this framework, without a copy where that is safe; every dtype is kept."""

    @abstractmethod
    def to_numpy(self, array: Array) -> np.ndarray:
        """A NumPy array of the same type and values."""

    @abstractmethod
    def permute(self, array: Array, axes: tuple[int, ...]) -> Array:
        """The array with its axes in another order; a view where the framework has views."""

    def settle(self, array: Array, like: Array) -> Array:
        """The array in the order of its axes in memory, if ``like`` is: what a caller expects."""
        del like
        return array

    @abstractmethod
    def narrow(self, array: Array, axis: int, start: Size, size: Size) -> Array:
        """``size`` elements of an axis from ``start``; a view where the framework has views."""

    @abstractmethod
    def flip(self, array: Array, axis: int) -> Array:
        """The array backwards along an axis."""

    @abstractmethod
    def repeat(self, array: Array, axis: int, times: Size) -> Array:
        """An axis of size 1 repeated."""

    @abstractmethod
    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array:
        """Arrays joined along an axis."""

    @abstractmethod
    def zeros(self, shape: tuple[Size, ...], *parents: Array) -> Array:
        """Zeros of the dtype and device of the parents, and in their gradient graph."""

    @abstractmethod
    def cast(self, array: Array, dtype: str) -> Array:
        """The array with another element type."""

    # --- computing ---

    @abstractmethod
    def accumulator(self, array: Array) -> str | None:
        """The wider dtype to compute in where the framework would sum in this array's narrow one, or None."""

    @abstractmethod
    def rule(self, direction: str, problem: ConvProblem, layout: str) -> tuple[str, str]:
        """The formulation to take where nothing is known of its time, and the reason in a few words.

        It may look at channels, kernel and layout, but at no size that a tracing compiler leaves open.
        """

    def traced(self, direction: str, problem: ConvProblem, layout: str, device: str) -> Chosen | None:
        """How a call is computed while a compiler traces, or with open sizes; None where :meth:`rule` says it."""
        del direction, problem, layout, device
        return None

    def own(self, direction: str, problem: ConvProblem, layout: str) -> str:
        """The formulation that is the framework's own op, as its users write it."""
        del direction, problem, layout
        return "conv1d"

    clearly_first = 1.15
    """How much faster than the framework's own ops a formulation must be expected to be for channels first."""

    differentiated: Sequence[str] = ()
    """The formulations that the framework differentiates as well as it computes them."""

    apart_seconds: float = 0.0
    """What it costs to compute gradients apart from the result."""

    def estimates(self, direction: str, problem: ConvProblem, layout: str, device: str) -> dict[str, float]:
        """Seconds that each formulation is expected to take; empty where there is no model of the device.

        Deterministic: no timing, no I/O.
        """
        del direction, problem, layout, device
        return {}

    def is_trap(self, name: str, direction: str, problem: ConvProblem) -> bool:
        """Whether a formulation is many times slower on some such problems, so that no estimate of it is trusted."""
        del name, direction, problem
        return False

    def is_tracing(self) -> bool:
        """Whether a compiler is looking on, so that nothing may depend on time or memory."""
        return False

    def has_memory(self) -> bool:
        """Whether arrays have values now; while a graph is built that is run later, they have none."""
        return True

    def threads(self) -> int:
        """How many threads compute."""
        return 1

    def here(self, device: str) -> tuple[str, str, str, int]:
        """What a measurement holds for: backend, version, device, threads."""
        return self.name, self.version(), device, self.threads()

    def signature(self, *arrays: Array | None) -> Hashable | None:
        """All that a plan depends on of eager arrays, or None where a call must be looked at in full.

        It is asked for by the exact types of ``eager_types``, at every call: it should take about a microsecond.
        """
        del arrays
        return None

    eager_types: Sequence[type] = ()
    """The array types that :meth:`signature` knows."""

    def lowered(self, call: Call, chosen: Chosen) -> Callable[[Array, Array, Array | None], Array] | None:
        """A call as few framework calls as can be, on the caller's own layout, or None.

        It is kept, and called for all arrays of one signature.
        """
        del call, chosen
        return None

    def packed(self, call: Call, chosen: Chosen, weight: Array) -> Callable[..., Array] | None:
        """A function of ``(x, bias=None)`` with the weight in the framework's own order, or None if it has none."""
        del call, chosen, weight
        return None

    @abstractmethod
    def compute(
        self,
        formulation: Formulation,
        direction: str,
        problem: ConvProblem,
        axis: int,
        a: Array,
        b: Array,
        bias: Array | None,
        chosen: Chosen | None = None,
    ) -> Array:
        """Compute one direction by a formulation, with every gradient of the result right.

        ``chosen`` says how the gradients are computed, and by what the result if they are wanted.
        """

    @abstractmethod
    def conv2d(
        self, vertical: ConvProblem, horizontal: ConvProblem, x: Array, weight: Array, bias: Array | None
    ) -> Array:
        """The true 2-D convolution of an (N, H, W, C) array with a (kh, kw, in / groups, out) kernel."""

    def run(
        self,
        formulation: Formulation,
        direction: str,
        problem: ConvProblem,
        axis: int,
        a: Array,
        b: Array,
        bias: Array | None = None,
        chosen: Chosen | None = None,
    ) -> Array:
        """One direction of a problem: of (x, weight), of (dy, weight) or of (x, dy)."""
        wide = self.accumulator(a)
        if wide is not None:
            narrow = self.dtype(a)
            a, b, bias = (None if array is None else self.cast(array, wide) for array in (a, b, bias))
            return self.cast(self.run(formulation, direction, problem, axis, a, b, bias, chosen), narrow)
        if direction == "forward" and not isinstance(problem.length, int):
            a = self.fits(problem, a)
        if problem.padding_mode != "zeros":
            a = self.pad_borders(problem, axis, a)
            problem = problem.padded()
        if direction == "forward":
            problem, a = self._single_place(problem, axis, a)
        if problem.is_empty:
            shape = list(problem.weight_shape)
            if direction != "weight_gradient":
                forward = direction == "forward"
                shape = list(self.shape(a))
                shape[axis] = problem.output_length if forward else problem.length
                shape[-1] = problem.out_channels if forward else problem.in_channels
            nothing = self.zeros(tuple(shape), a, b)
            return nothing if bias is None else nothing + bias
        return self.compute(formulation, direction, problem, axis, a, b, bias, chosen)

    def run_2d(
        self, vertical: ConvProblem, horizontal: ConvProblem, x: Array, weight: Array, bias: Array | None
    ) -> Array:
        """The true 2-D convolution, borders and empty results included."""
        wide = self.accumulator(x)
        if wide is not None:
            narrow = self.dtype(x)
            x, weight, bias = (None if array is None else self.cast(array, wide) for array in (x, weight, bias))
            return self.cast(self.run_2d(vertical, horizontal, x, weight, bias), narrow)
        for problem in (vertical, horizontal):
            if not isinstance(problem.length, int):
                x = self.fits(problem, x)
        if vertical.padding_mode != "zeros":
            x = self.pad_borders(horizontal, 2, self.pad_borders(vertical, 1, x))
            vertical, horizontal = vertical.padded(), horizontal.padded()
        if vertical.is_empty or horizontal.is_empty:
            shape = (self.shape(x)[0], vertical.output_length, horizontal.output_length, vertical.out_channels)
            nothing = self.zeros(shape, x, weight)
            return nothing if bias is None else nothing + bias
        vertical, x = self._single_place(vertical, 1, x)
        horizontal, x = self._single_place(horizontal, 2, x)
        return self.conv2d(vertical, horizontal, x, weight, bias)

    def _single_place(self, problem: ConvProblem, axis: int, x: Array) -> tuple[ConvProblem, Array]:
        """A problem whose kernel has one place, without its stride and its unseen elements.

        oneDNN's AVX-512 kernels compute wrong values for one input channel, a stride, one place and several rows.
        """
        count, low, seen = problem.output_length, problem.padding[0], problem.extent - problem.padding[0]
        if problem.stride == 1 or not problem.is_static or count != 1 or seen < 1:
            return problem, x
        length = min(problem.length, seen)
        x = x if length == problem.length else self.narrow(x, axis, 0, length)
        return replace(problem, stride=1, length=length, padding=(low, seen - length)), x

    def fits(self, problem: ConvProblem, x: Array) -> Array:
        """``x``, after a check when the program runs that the kernel and borders fit a length that was unknown.

        A framework whose own ops refuse what does not fit may leave it to them.
        """
        del problem
        return x

    def pad_borders(self, problem: ConvProblem, axis: int, x: Array) -> Array:
        """``x`` with the border values of a padding mode on both sides of an axis."""
        (low, high), length, mode = problem.padding, problem.length, problem.padding_mode
        parts = [x]
        if not (isinstance(low, int) and low == 0):
            if mode == "reflect":
                parts.insert(0, self.flip(self.narrow(x, axis, 1, low), axis))
            elif mode == "replicate":
                parts.insert(0, self.repeat(self.narrow(x, axis, 0, 1), axis, low))
            else:
                parts.insert(0, self.narrow(x, axis, length - low, low))
        if not (isinstance(high, int) and high == 0):
            if mode == "reflect":
                parts.append(self.flip(self.narrow(x, axis, length - 1 - high, high), axis))
            elif mode == "replicate":
                parts.append(self.repeat(self.narrow(x, axis, length - 1, 1), axis, high))
            else:
                parts.append(self.narrow(x, axis, 0, high))
        return self.concatenate(parts, axis) if len(parts) > 1 else x

    def room(self, name: str) -> ModuleType:
        """A module of the backend's own package that knows the framework's models: "convolutions", "convert", ...

        Raises:
            UnsupportedError: the backend has none of that name.
        """
        module = f"{type(self).__module__.rpartition('.')[0]}.{name}"
        try:
            return import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            raise UnsupportedError(f"backend {self.name!r} has no {name!r} for models") from error

    # --- for parity checks and benchmarks ---

    @abstractmethod
    def devices(self) -> list[str]:
        """The devices of this machine that the framework can compute on; "cpu" comes first."""

    @abstractmethod
    def synchronize(self, device: str) -> None:
        """Wait until everything that was enqueued on a device is done, also what nobody holds any more."""

    def peak_bytes(self, function: Callable[[], Any], device: str) -> int:
        """The most memory that one call takes on a device with memory of its own, beyond what is held already."""
        raise UnsupportedError(f"backend {self.name!r} does not tell how much memory {device} takes for {function}")

    @abstractmethod
    def gradients(
        self, function: Callable[..., Array], inputs: Sequence[Array], cotangent: Array, differentiable: bool = False
    ) -> list[Array]:
        """The vector-Jacobian products of a function at its inputs; if asked, differentiable themselves."""

    @abstractmethod
    def relu(self, array: Array) -> Array:
        """The rectified array."""

    @abstractmethod
    def compiled(self, function: Callable[..., Array], mode: str) -> Callable[..., Array]:
        """The function under one of the framework's tracing compilers, whole or not at all."""

    def release(self) -> None:
        """Let go of what compilers keep of every shape that they saw: many tests in a process end its memory."""
        return

    @abstractmethod
    def exact_float32(self) -> AbstractContextManager[None]:
        """A scope in which float32 means float32 (no TF32); what was set before is restored."""

    @abstractmethod
    def set_threads(self, count: int) -> None:
        """Compute with that many threads; before the framework's first computation."""

    @abstractmethod
    def version(self) -> str:
        """The framework's version."""
