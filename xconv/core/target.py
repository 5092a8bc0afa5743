"""Where a problem is computed, and how what is computed gets executed."""

from __future__ import annotations

from dataclasses import dataclass

from xconv.system.errors import ArgumentError, nearest

EAGER, GRAPH, INDUCTOR, XLA, EXPORT = EXECUTIONS = ("eager", "graph", "inductor", "xla", "export")
"""The ways of execution.

- ``eager``: each operation computes at once, in arrays that have memory;
- ``graph``: the framework's own ops are recorded or transformed (``tf.function``, ``torch.func``, tensor subclasses);
- ``inductor``: ``torch.compile``;
- ``xla``: ``tf.function(jit_compile=True)``, ``jax.jit`` and JAX's transformations;
- ``export``: a program for others (``torch.export``, ``torch.jit.trace``), which may hold the framework's ops only.
"""

CHANNELS_LAST, CHANNELS_FIRST = MEMORY_FORMATS = ("channels_last", "channels_first")


@dataclass(frozen=True)
class Target:
    """A backend on a device, for arrays of a memory format, with a number of threads and a way of execution.

    Attributes:
        backend: name of an installed backend.
        device: "cpu", "cuda:0", ...
        memory_format: of the caller's arrays, "channels_last" or "channels_first".
        threads: threads that compute.
        execution: one of :data:`EXECUTIONS`.

    >>> print(Target("torch", memory_format="channels_first", threads=2))
    torch on cpu, eager, channels first, 2 threads
    """

    backend: str
    device: str = "cpu"
    memory_format: str = CHANNELS_LAST
    threads: int = 1
    execution: str = EAGER

    @property
    def channels_last(self) -> bool:
        """Whether the caller's arrays have their channels last."""
        return self.memory_format == CHANNELS_LAST

    def __str__(self) -> str:
        threads = f"{self.threads} thread" + ("s" if self.threads != 1 else "")
        return f"{self.backend} on {self.device}, {self.execution}, {self.memory_format.replace('_', ' ')}, {threads}"


def check_execution(operation: str, execution: str) -> str:
    """The name of a way of execution, or an error.

    Raises:
        ArgumentError: it is none.
    """
    if not isinstance(execution, str) or execution not in EXECUTIONS:
        hint = nearest(execution, EXECUTIONS) if isinstance(execution, str) else ""
        raise ArgumentError(operation, "execution", repr(execution), f"one of {', '.join(map(repr, EXECUTIONS))}", hint)
    return execution
