"""Every error a user of xconv can meet."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class XconvError(Exception):
    """The base of every error that xconv raises on purpose."""


class ArgumentError(XconvError, ValueError):
    """An argument that no backend could use, found before a framework is reached.

    The text has the same four parts on every backend: which argument of which operation, what it was,
    what was expected, and what to try.

    >>> print(ArgumentError("conv1d", "stride", "0", "an integer >= 1", "stride counts samples"))
    conv1d: stride: got 0, expected an integer >= 1. Hint: stride counts samples.
    """

    def __init__(self, operation: str, argument: str, got: str, expected: str, hint: str = "") -> None:
        self.operation = operation
        self.argument = argument
        self.got = got
        self.expected = expected
        self.hint = hint
        tail = f" Hint: {hint.rstrip('.')}." if hint else ""
        super().__init__(f"{operation}: {argument}: got {got}, expected {expected}.{tail}")

    def renamed(self, operation: str, arguments: dict[str, str]) -> ArgumentError:
        """The same error in the words of an operation that is made of this one."""
        argument = arguments.get(self.argument, self.argument)
        return ArgumentError(operation, argument, self.got, self.expected, self.hint)


class BackendError(XconvError, ImportError):
    """A backend that is asked for and is not there: not installed, not registered, or it fails to load."""


class UnsupportedError(XconvError, NotImplementedError):
    """A named formulation that cannot compute this problem; the text says why and which ones can."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that names the known word closest to a mistyped one, or nothing.

    >>> nearest("casual", ["valid", "same", "causal"])
    "did you mean 'causal'?"
    >>> nearest("xyzzy", ["valid", "same"])
    ''
    """
    spelled = {word.lower(): word for word in known}
    close = difflib.get_close_matches(str(name).lower(), list(spelled), n=1, cutoff=0.6)
    return f"did you mean {spelled[close[0]]!r}?" if close else ""
