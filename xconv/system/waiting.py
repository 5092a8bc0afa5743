"""To wait for threads so that Ctrl-C is heard."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, wait
from typing import TypeVar

Result = TypeVar("Result")

HEARD_S = 0.2
"""Seconds after which an interrupt is heard, at the latest."""


def results(futures: Iterable[Future[Result]]) -> list[Result]:
    """The results of all, in order; what the first of them raised is raised.

    A signal may reach another thread than the one that waits and has to handle it, and then wakes nobody.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor() as pool:
    ...     results(pool.submit(abs, n) for n in (-1, 2))
    [1, 2]
    """
    found = []
    for future in list(futures):
        while not wait([future], HEARD_S).done:
            pass
        found.append(future.result())
    return found
