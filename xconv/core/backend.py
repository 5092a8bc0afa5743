"""What a backend is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from xconv.core.arrays import Arrays
from xconv.core.epilogue import add_bias
from xconv.core.formulation import Array, Formulation
from xconv.core.instruments import Instruments
from xconv.core.planning_facts import PlanningFacts
from xconv.core.problem import ConvProblem
from xconv.core.strides import single_place
from xconv.system.errors import UnsupportedError

if TYPE_CHECKING:
    from xconv.core.lowering import Lowering
    from xconv.core.plan import Plan


class Backend(Arrays, PlanningFacts, Instruments):
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

    def here(self, device: str) -> tuple[str, str, str, int]:
        """What a measurement holds for: backend, version, device, threads.

        Args:
            device: "cpu", "cuda:0", ...

        Returns:
            The backend's name, the framework's version, the device, and the number of threads.
        """
        return self.name, self.version(), device, self.threads()

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
