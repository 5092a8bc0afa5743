"""Any callable on NumPy arrays: as it is, in float64, and with its inputs and parameters moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xconv.system.errors import ArgumentError, nearest
from xconv.testing.closures import rebuilt
from xconv.testing.detect import FRAMEWORKS, check_installed, framework_of
from xconv.testing.frameworks import Array, Change, FrameworkAdapter, UnsupportedCallableError
from xconv.testing.loading import get_framework
from xconv.testing.tolerance import moved


@dataclass(frozen=True)
class On:
    """A callable, and the framework whose arrays it takes.

    Attributes:
        framework: "torch", "tensorflow", "keras", "jax", "numpy" or "onnx".
        function: the callable.
    """

    framework: str
    function: Any


def on(framework: str, function: Any) -> On:
    """Say which framework's arrays a function takes, where :func:`assert_parity` cannot see it.

    Args:
        framework: "torch", "tensorflow" (and Keras, where it computes), "keras" (where another one does), "jax",
            "numpy" or "onnx".
        function: the callable.

    Returns:
        What :func:`compare` and :func:`assert_parity` take in place of the function.

    Raises:
        ArgumentError: an unknown framework.

    >>> on("numpy", abs).framework
    'numpy'
    """
    if framework not in FRAMEWORKS:
        known = ", ".join(map(repr, FRAMEWORKS))
        raise ArgumentError("on", "framework", repr(framework), f"one of {known}", nearest(str(framework), FRAMEWORKS))
    return On(framework, function)


@dataclass(frozen=True)
class Variant:
    """How a callable is run: in which precision, and what is done to each float before.

    ``move`` is "" (nothing), "float32" (by float32's step, before it is widened), "float64" (by float64's step) or
    "below" (by 2^-30, which float32 does not see); ``sign`` -1 is as far in the other direction.
    """

    wide: bool = False
    move: str = ""
    seed: int = 0
    sign: int = 1


PLAIN = Variant()


class FrameworkCallable:
    """A callable of some framework."""

    def __init__(self, argument: str, given: Any, training: bool = False) -> None:
        self.argument = argument
        name = given.framework if isinstance(given, On) else framework_of(argument, given)
        check_installed(argument, name)
        self.function = given.function if isinstance(given, On) else given
        self.framework: FrameworkAdapter = get_framework(name)
        self.training = training
        self.notes: list[str] = []
        self._compiled: dict[int, Any] = {}

    @property
    def label(self) -> str:
        """What it is called in reports."""
        own = getattr(self.function, "name", None) or getattr(self.function, "__name__", None)
        what = own if isinstance(own, str) and own else type(self.function).__name__
        return f"{what} ({self.framework.name})"

    def run(
        self, inputs: Sequence[Array], cotangents: Mapping[str, Array] | None = None, variant: Variant = PLAIN
    ) -> dict[str, Array]:
        """Named results; with cotangents "gradient for input i" too.

        Raises:
            UnsupportedCallableError: it cannot be run in this way.
            Exception: whatever the callable raises.
        """
        change = changes(variant)
        arrays = [change(array) for array in inputs]
        above = None if cotangents is None else {name: change(array) for name, array in cotangents.items()}
        with self.framework.precision(variant.wide):
            function = self._function(variant, change)
            if above is None:
                return dict(self.framework.run(function, arrays, self.training))
            found, gradients = self.framework.run_with_gradients(function, arrays, above, self.training)
        named = {f"gradient for input {i}": array for i, array in enumerate(gradients) if array is not None}
        return {**dict(found), **named}

    def _function(self, variant: Variant, change: Change) -> Any:
        """The callable itself, or one around changed copies of its parameters."""
        if variant == PLAIN and not self.training:
            return self.function
        framework = self.framework

        def convert(value: Any) -> Any:
            if framework.owns(value):
                return framework.converted(value, change, variant.wide)
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                return change(value)
            return value

        def converted(value: Any) -> Any:
            # What is compiled is not compiled again for each run: its parameters stay where they are.
            return convert(value) if framework.compiled(value) is None else self._widened(value, variant.wide)

        try:
            return rebuilt(self.function, converted, lambda _: None)
        except UnsupportedCallableError as error:
            if variant.wide or self.training:
                raise
            self.notes.append(f"{self.argument}: its parameters were not moved ({error})")
            return self.function

    def _widened(self, value: Any, wide: bool) -> Any:
        """A compiled function; in float64, compiled once around widened copies."""
        if not wide:
            return value
        if id(value) not in self._compiled:
            widen = changes(Variant(wide=True))

            def convert(other: Any) -> Any:
                return self.framework.converted(other, widen, True) if self.framework.owns(other) else other

            self._compiled[id(value)] = rebuilt(value, convert, self.framework.compiled)
        return self._compiled[id(value)]


def changes(variant: Variant) -> Change:
    """What a variant does to each float, in the order in which it meets them."""
    rng, centre = np.random.default_rng([variant.seed, 1]), np.random.default_rng(0)

    def change(array: Array) -> Array:
        if array.dtype.kind != "f":
            return array
        if variant.move == "float32":
            array = moved(array, rng, variant.sign)
        if variant.wide:
            array = array.astype(np.float64)
        if variant.wide and variant.move == "float64":
            # Numbers of 24 bits have hardly a rounding error in float64, and moved up and down opposite ones, whose sum
            # is none. All pairs are moved around one place nearby, where numbers have 53 bits.
            array = array * (1 + 2.0**-24 * centre.uniform(-1, 1, array.shape))
        if variant.move == "float64":
            array = moved(array, rng, variant.sign)
        elif variant.move == "below":
            array = array * (1 + 2.0**-30 * rng.uniform(-1, 1, array.shape))
        return array

    return change
