"""What a backend is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

from xconv.core.arrays import Arrays
from xconv.core.epilogue import add_bias
from xconv.core.formulation import Array, Formulation
from xconv.core.problem import ConvProblem
from xconv.core.strides import single_place
from xconv.system.errors import UnsupportedError

if TYPE_CHECKING:
    from xconv.core.lowering import Lowering
    from xconv.core.plan import Plan
    from xconv.core.target import Target


class Backend(Arrays):
    """A framework's adapter: its arrays, devices, formulations, gradients and compilers.

    It says what the planner asks of it, lowers plans, and chooses nothing. :meth:`run` and :meth:`run_2d` are the way
    in for a lowering: they put border values into the array and answer problems without a result, so that no
    formulation meets either.

    Attributes:
        name: under which it is registered: "torch".
        formulations: all that it has; each has a name of its own.
    """

    name: str
    formulations: Sequence[Formulation]
    modes: Sequence[str] = ()
    """The names of the framework's tracing compilers, for :meth:`compiled`."""
    mode_execution: Mapping[str, str] = MappingProxyType({})
    """The way of execution of what each of those makes."""

    # --- planning ---

    @abstractmethod
    def execution(self, *arrays: Array | None) -> str:
        """How what is done to these arrays is executed: one of :data:`xconv.core.target.EXECUTIONS`.

        Args:
            arrays: what an operation is called with, of any shapes; None for a bias that is not there.

        Returns:
            "eager", "graph", "inductor", "xla" or "export".
        """

    without_memory: str | None = None
    """The way of execution of eager arrays that turn out to have no memory of their own; None where it is no other."""

    def default_device(self) -> str:
        """Where arrays are computed that have no place yet.

        Returns:
            "cpu", "cuda:0", ...
        """
        return "cpu"

    def has_memory(self, target: Target) -> bool:
        """Whether arrays have memory on a target that code of ours may compute in.

        Args:
            target: backend, device, memory format, threads and way of execution.

        Returns:
            False, unless a backend says otherwise.
        """
        del target
        return False

    def runs_op_by_op(self, target: Target) -> bool:
        """Whether what was measured of single eager ops holds for a target.

        Args:
            target: backend, device, memory format, threads and way of execution.

        Returns:
            True, unless a backend says otherwise.
        """
        del target
        return True

    def plans_gradients(self, target: Target) -> bool:
        """Whether gradients can be computed by other formulations than the framework's own differentiation.

        Args:
            target: backend, device, memory format, threads and way of execution.

        Returns:
            False, unless a backend says otherwise.
        """
        del target
        return False

    @abstractmethod
    def rule(self, direction: str, problem: ConvProblem, target: Target) -> tuple[str, str]:
        """The formulation to take where nothing is known of its time, and the reason in a few words.

        It may look at channels, kernel and target, but at no size that a tracing compiler leaves open.

        Args:
            direction: "forward", "input_gradient" or "weight_gradient".
            problem: one whose outer, length and inner sizes may be symbolic.
            target: backend, device, memory format, threads and way of execution.

        Returns:
            The name of a formulation that can compute it, and the reason.
        """

    def own(self, direction: str, problem: ConvProblem, target: Target) -> str:
        """The formulation that is the framework's own op, as its users write it.

        Args:
            direction: "forward", "input_gradient" or "weight_gradient".
            problem: what is computed.
            target: backend, device, memory format, threads and way of execution.

        Returns:
            The name of the formulation.
        """
        del direction, problem, target
        return "conv1d"

    least_speedup_channels_first = 1.15
    """How much faster than the framework's own ops a formulation must be expected to be for channels first."""

    differentiated: Sequence[str] = ()
    """The formulations that the framework differentiates as well as it computes them."""

    own_gradients_seconds: float = 0.0
    """What it costs to compute gradients by formulations of their own."""

    def estimates(
        self, forms: Sequence[Formulation], direction: str, problem: ConvProblem, layout: str, target: Target
    ) -> dict[str, float]:
        """Seconds that formulations which can compute a problem are expected to take; empty without a model of it.

        Deterministic: no timing, no I/O.

        Args:
            forms: formulations that can compute the direction.
            direction: "forward", "input_gradient" or "weight_gradient".
            problem: one whose sizes are known.
            layout: of the caller's arrays: "NWC", "NCW", "NHWC" or "NCHW".
            target: backend, device, memory format, threads and way of execution.

        Returns:
            The seconds of each formulation by its name; some may be missing.
        """
        del forms, direction, problem, layout, target
        return {}

    def is_trap(self, name: str, direction: str, problem: ConvProblem) -> bool:
        """Whether a formulation is many times slower on some such problems, so that no estimate of it is trusted.

        Args:
            name: of the formulation.
            direction: "forward", "input_gradient" or "weight_gradient".
            problem: one whose sizes are known.

        Returns:
            False, unless a backend knows such problems.
        """
        del name, direction, problem
        return False

    def threads(self) -> int:
        """How many threads compute.

        Returns:
            A number, 1 or more.
        """
        return 1

    def here(self, device: str) -> tuple[str, str, str, int]:
        """What a measurement holds for: backend, version, device, threads.

        Args:
            device: "cpu", "cuda:0", ...

        Returns:
            The backend's name, the framework's version, the device, and the number of threads.
        """
        return self.name, self.version(), device, self.threads()

    def is_compiling(self) -> bool:
        """Whether a compiler reads the code that runs now, as ``torch.compile`` does.

        Returns:
            False, unless a backend has such a compiler.
        """
        return False

    def has_known_sizes(self, problem: ConvProblem) -> bool:
        """Whether no size is open; to code that a compiler reads, those that are look like integers.

        Args:
            problem: one of the code that runs now.

        Returns:
            Whether the outer size, the length and the inner size are known.
        """
        return problem.is_static

    def constant(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function gives of numbers and texts; a compiler calls it, and keeps the result as a constant.

        Args:
            function: takes and returns numbers, texts and tuples of these.
            arguments: what it is called with.

        Returns:
            What the function returns.
        """
        return function(*arguments)

    def folded_2d(self, vertical: ConvProblem, horizontal: ConvProblem) -> ConvProblem | None:
        """The 1-D problem along the rows that a 2-D one is folded into, or None where the framework has an op.

        Args:
            vertical: the problem along H.
            horizontal: the problem along W.

        Returns:
            A problem along W, of which each pair of a kernel row and a channel is an input channel; or None.
        """
        del vertical, horizontal
        return None

    fuses_bias_2d: bool = False
    """Whether the framework's 2-D convolution adds the bias where it stores a sum."""

    # --- lowering ---

    @cached_property
    def by_name(self) -> dict[str, Formulation]:
        """The formulations by their names."""
        return {form.name: form for form in self.formulations}

    def signature(self, x: Array, weight: Array, bias: Array | None) -> Hashable | None:
        """All that a plan depends on of eager arrays, and of who calls; None where a call must be looked at in full.

        It is asked for by the exact types of ``eager_types``, at every call: it should take about a microsecond.

        Args:
            x: an array of one of ``eager_types``, in the caller's layout; so are the others.
            weight: the weight.
            bias: (out,), or None.

        Returns:
            Anything that hashes: shapes, dtypes, devices, strides, and whether gradients are wanted; or None.
        """
        del x, weight, bias
        return None

    eager_types: Sequence[type] = ()
    """The array types that :meth:`signature` knows."""

    def lowered(self, lowering: Lowering) -> Callable[[Array, Array, Array | None], Array] | None:
        """An eager lowering of a 1-D problem as few framework calls as can be, on the caller's own layout, or None.

        It is called with arrays of one signature, and gives the same bits as the lowering itself.

        Args:
            lowering: of a plan for one direction of a 1-D problem.

        Returns:
            A function of x, the weight and a bias or None, all in the caller's layout and of the dtype that was
            planned. It returns the result in that layout. Or None.
        """
        del lowering
        return None

    def packed(self, plan: Plan, weight: Array) -> Callable[..., Array] | None:
        """A function of ``(x, bias=None)`` with the weight in the framework's own order, or None if it has none.

        Args:
            plan: of a 1-D problem.
            weight: the weight in the caller's layout: (kernel, in/groups, out), or (out, in/groups, kernel).

        Returns:
            A function of x, in the caller's layout, and a bias (out,) or None, which returns the result in that layout;
            or None.
        """
        del plan, weight
        return None

    @abstractmethod
    def compute(
        self,
        lowering: Lowering,
        direction: str,
        problem: ConvProblem,
        axis: int,
        a: Array,
        b: Array,
        bias: Array | None,
    ) -> Array:
        """Compute one direction as a plan says, with every gradient of the result right.

        Args:
            lowering: with the plan, whose choices are kept.
            direction: "forward", "input_gradient" or "weight_gradient".
            problem: with "zeros" as its padding mode, and a result that is not empty.
            axis: the one of the channels-last arrays that slides: 1 for W of (N, W, C) and H of (N, H, W, C), 2 for its
                W.
            a: x (N, W, in) or (N, H, W, in); for "input_gradient" dy, of the shape of the result.
            b: the weight (kernel, in/groups, out); for "weight_gradient" dy, of the shape of the result.
            bias: (channels of the result,), or None.

        Returns:
            A tensor of shape ``problem.result_sizes(direction, a.shape, axis)`` and the dtype of ``a``.
        """

    @abstractmethod
    def conv2d(
        self,
        lowering: Lowering,
        vertical: ConvProblem,
        horizontal: ConvProblem,
        x: Array,
        weight: Array,
        bias: Array | None,
    ) -> Array:
        """The true 2-D convolution of an (N, H, W, C) array with a (kh, kw, in / groups, out) kernel.

        Args:
            lowering: with the plan.
            vertical: the problem along H, with "zeros" as its padding mode.
            horizontal: the problem along W, with the same channels and groups.
            x: (N, H, W, in).
            weight: (kh, kw, in/groups, out), of the same dtype.
            bias: (out,), or None.

        Returns:
            (N, H', W', out), of the same dtype.
        """

    def run(
        self,
        lowering: Lowering,
        direction: str,
        problem: ConvProblem,
        axis: int,
        a: Array,
        b: Array,
        bias: Array | None = None,
    ) -> Array:
        """One direction of a problem, with the borders of any padding mode; an empty result is made here.

        Args:
            lowering: with the plan.
            direction: "forward", "input_gradient" or "weight_gradient".
            problem: one of any padding mode.
            axis: the one of the channels-last arrays that slides: 1 for W of (N, W, C) and H of (N, H, W, C), 2 for its
                W.
            a: x (N, W, in) or (N, H, W, in); for "input_gradient" dy, of the shape of the result.
            b: the weight (kernel, in/groups, out); for "weight_gradient" dy, of the shape of the result.
            bias: (channels of the result,), or None.

        Returns:
            A tensor of shape ``problem.result_sizes(direction, a.shape, axis)`` and the dtype of ``a``. Where the
            framework would sum a narrow dtype in itself, it is summed in the wider one that
            :meth:`~xconv.core.arrays.Arrays.accumulator` names, and rounded once.
        """
        wide = self.accumulator(a)
        if wide is not None:
            narrow = self.dtype(a)
            a, b, bias = (None if array is None else self.cast(array, wide) for array in (a, b, bias))
            return self.cast(self.run(lowering, direction, problem, axis, a, b, bias), narrow)
        if direction == "forward" and not isinstance(problem.length, int):
            a = self.fits(problem, a)
        if problem.padding_mode != "zeros":
            a = self.pad_borders(problem, axis, a)
            problem = problem.padded()
        if direction == "forward":
            problem, a = single_place(self, problem, axis, a)
        if problem.is_empty:
            return add_bias(self.zeros(problem.result_sizes(direction, self.shape(a), axis), a, b), bias)
        return self.compute(lowering, direction, problem, axis, a, b, bias)

    def run_2d(
        self,
        lowering: Lowering,
        vertical: ConvProblem,
        horizontal: ConvProblem,
        x: Array,
        weight: Array,
        bias: Array | None,
    ) -> Array:
        """The true 2-D convolution, borders and empty results included.

        Args:
            lowering: with the plan.
            vertical: the problem along H, of any padding mode.
            horizontal: the problem along W, with the same channels, groups and padding mode.
            x: (N, H, W, in).
            weight: (kh, kw, in/groups, out), of the same dtype.
            bias: (out,), or None.

        Returns:
            (N, H', W', out), of the same dtype, summed as :meth:`run` says.
        """
        wide = self.accumulator(x)
        if wide is not None:
            narrow = self.dtype(x)
            x, weight, bias = (None if array is None else self.cast(array, wide) for array in (x, weight, bias))
            return self.cast(self.run_2d(lowering, vertical, horizontal, x, weight, bias), narrow)
        for problem in (vertical, horizontal):
            if not isinstance(problem.length, int):
                x = self.fits(problem, x)
        if vertical.padding_mode != "zeros":
            x = self.pad_borders(horizontal, 2, self.pad_borders(vertical, 1, x))
            vertical, horizontal = vertical.padded(), horizontal.padded()
        if vertical.is_empty or horizontal.is_empty:
            sizes = horizontal.result_sizes("forward", vertical.result_sizes("forward", self.shape(x), 1), 2)
            return add_bias(self.zeros(sizes, x, weight), bias)
        vertical, x = single_place(self, vertical, 1, x)
        horizontal, x = single_place(self, horizontal, 2, x)
        return self.conv2d(lowering, vertical, horizontal, x, weight, bias)

    def module(self, name: str) -> ModuleType:
        """A module of the backend's own package beside this one: "layers", or of "models", which knows the framework's.

        Args:
            name: "layers", "models.convolutions", ...

        Returns:
            The module, imported.

        Raises:
            UnsupportedError: the backend has none of that name.
        """
        module = f"{type(self).__module__.rpartition('.')[0]}.{name}"
        try:
            return import_module(module)
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):
                raise
            raise UnsupportedError(f"backend {self.name!r} has no {name.rpartition('.')[2]!r} for models") from error

    # --- for parity checks and benchmarks ---

    @abstractmethod
    def devices(self) -> list[str]:
        """The devices of this machine that the framework can compute on; "cpu" comes first.

        Returns:
            Names that every ``device`` argument takes: ["cpu", "cuda:0"].
        """

    @abstractmethod
    def synchronize(self, device: str) -> None:
        """Wait until everything that was enqueued on a device is done, also what nobody holds any more.

        Args:
            device: one of :meth:`devices`.
        """

    def peak_bytes(self, function: Callable[[], Any], device: str) -> int:
        """The most memory that one call takes on a device with memory of its own, beyond what is held already.

        Args:
            function: what is called, without arguments.
            device: one of :meth:`devices`.

        Returns:
            A number of bytes.

        Raises:
            UnsupportedError: the backend cannot tell.
        """
        raise UnsupportedError(f"backend {self.name!r} does not tell how much memory {device} takes for {function}")

    @abstractmethod
    def gradients(
        self, function: Callable[..., Array], inputs: Sequence[Array], cotangent: Array, differentiable: bool = False
    ) -> list[Array]:
        """The vector-Jacobian products of a function at its inputs; if asked, differentiable themselves.

        Args:
            function: takes ``inputs`` and returns one array.
            inputs: eager floating-point tensors of any shapes.
            cotangent: of the shape and dtype of what the function returns.
            differentiable: whether the products stay in the gradient graph.

        Returns:
            For each input a tensor of its shape and dtype.
        """

    @abstractmethod
    def compiled(self, function: Callable[..., Array], mode: str) -> Callable[..., Array]:
        """The function under one of the framework's tracing compilers, whole or not at all.

        Args:
            function: takes and returns tensors.
            mode: one of ``modes``.

        Returns:
            A function of the same arguments and results.
        """

    def release(self) -> None:
        """Let go of what compilers keep of every shape that they saw: many tests in a process end its memory."""
        return

    @abstractmethod
    def exact_float32(self) -> AbstractContextManager[None]:
        """A scope in which float32 means float32 (no TF32); what was set before is restored.

        Returns:
            A context manager.
        """

    @abstractmethod
    def set_threads(self, count: int) -> None:
        """Compute with that many threads; before the framework's first computation.

        Args:
            count: 1 or more.
        """

    @abstractmethod
    def version(self) -> str:
        """The framework's version.

        Returns:
            The version as the framework writes it: "2.9.1".
        """
