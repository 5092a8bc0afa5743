"""Every error a user of xconv can meet."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

PUBLIC = "xconv.errors"
"""The module that users name the errors by: tracebacks and pickles say it too."""


class XconvError(Exception):
    """The base of every error that xconv raises on purpose.

    Their constructors are plain, so that tracers can make them again with where in a traced program they arose.

    >>> import numpy as np, xconv
    >>> try:
    ...     xconv.conv1d(np.ones((2, 100)), np.ones((3, 1, 1)))
    ... except xconv.XconvError as error:
    ...     print(type(error).__name__)
    ArgumentError
    """

    __module__ = PUBLIC


class ArgumentError(XconvError, ValueError):
    """An argument that no backend could use, found before a framework is reached.

    Made of the operation, the argument, what it was, what was expected, and a hint. The text has the same parts on
    every backend.

    >>> print(ArgumentError("conv1d", "stride", "0", "an integer >= 1", "stride counts samples"))
    conv1d: stride: got 0, expected an integer >= 1. Hint: stride counts samples.
    """

    __init__ = Exception.__init__
    __module__ = PUBLIC

    @property
    def operation(self) -> str:
        """The operation that was called."""
        return str(self.args[0])

    @property
    def argument(self) -> str:
        """The argument that does not fit."""
        return str(self.args[1])

    def __str__(self) -> str:
        if len(self.args) < 4:
            return str(self.args[0]) if self.args else ""
        operation, argument, got, expected, *hints = self.args
        hint = str(hints[0]) if hints else ""
        tail = f" Hint: {hint}{'' if hint.endswith('?') else '.'}" if hint else ""
        return f"{operation}: {argument}: got {got}, expected {expected}.{tail}"

    def renamed(self, operation: str, arguments: dict[str, str]) -> ArgumentError:
        """The same error in the words of an operation that is made of this one.

        Args:
            operation: the name of the other operation.
            arguments: the other names of arguments by the ones that they have here.

        Returns:
            A new error.
        """
        renamed: ArgumentError = ArgumentError(operation, arguments.get(self.argument, self.argument), *self.args[2:])
        return renamed


class BackendError(XconvError, ImportError):
    """A backend that is asked for and is not there: not installed, not registered, or it fails to load.

    >>> import xconv
    >>> xconv.get_backend("troch")
    Traceback (most recent call last):
    xconv.errors.BackendError: no backend is called 'troch'; known: jax, tensorflow, torch. Hint: did you mean 'torch'?
    """

    __init__ = Exception.__init__
    __module__ = PUBLIC


class UnsupportedError(XconvError, NotImplementedError):
    """What is asked for and cannot be done here; the text says why.

    A named formulation that cannot compute this problem (and which ones can), or a service that this platform lacks.

    >>> import numpy as np, xconv
    >>> xconv.conv1d(np.ones((1, 9, 1)), np.ones((3, 1, 1)), stride=2, formulation="fft")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    xconv.errors.UnsupportedError: conv1d: formulation 'fft' ... it is for stride 1 and no dilation. Hint: ...
    """

    __init__ = Exception.__init__
    __module__ = PUBLIC


class WisdomError(XconvError, OSError):
    """A file of wisdom that cannot be written; what was there before is left as it was."""

    __init__ = Exception.__init__
    __module__ = PUBLIC


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
