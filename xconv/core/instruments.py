"""What parity checks and benchmarks ask of a backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any

from xconv.core.formulation import Array
from xconv.system.errors import UnsupportedError


class Instruments(ABC):
    """Devices, threads, memory, gradients and compilers of a framework."""

    name: str
    modes: Sequence[str] = ()
    """The names of the framework's tracing compilers, for :meth:`compiled`."""
    mode_execution: Mapping[str, str] = MappingProxyType({})
    """The way of execution of what each of those makes."""

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
