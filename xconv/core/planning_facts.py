"""What the planner asks of a backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from xconv.core.formulation import Array, Formulation
from xconv.core.problem import ConvProblem

if TYPE_CHECKING:
    from xconv.core.target import Target


class PlanningFacts(ABC):
    """How a framework executes, what is taken where nothing is known, and how long a formulation is expected to
    take.
    """

    name: str

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
