"""A worker of the arena that computes nothing of use: how long it takes, and what goes wrong, is asked for."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xconv.bench.arena import Place
from xconv.bench.stopwatch import PreparedCall, Stopwatch
from xconv.system.child import serve

THREADS: list[threading.Thread] = []


@dataclass(frozen=True)
class Spin:
    """A subject: a number of products of small matrices; ``what`` is how, or what goes wrong."""

    label: str
    products: int = 40
    what: str = "right"
    process: str = "one"
    asked: dict[str, Any] = field(default_factory=dict, hash=False)

    def place(self, threads: int, device: str) -> Place:
        one = (("OPENBLAS_NUM_THREADS", "1"), ("OMP_NUM_THREADS", "1"))
        return Place(self.process, "tests.bench_worker", (str(threads), device), one)

    def request(self) -> dict[str, Any]:
        return {"products": self.products, "what": self.what, **self.asked}


def prepare(products: int, what: str) -> PreparedCall:
    """The function that is timed."""
    a = np.random.default_rng(0).standard_normal((96, 96))

    def spin() -> None:
        for _ in range(products):
            a @ a

    def later() -> None:
        THREADS.append(threading.Thread(target=spin))
        THREADS[-1].start()

    def grow() -> None:
        bytearray(64 * 2**20)[:: 2**12] = b"x" * (64 * 2**8)

    if what == "wrong":
        raise ValueError("a wrong result")
    if what == "dies":
        os._exit(7)
    calls: dict[str, Callable[[], Any]] = {
        "right": spin,
        "asynchronous": later,
        "hungry": grow,
        "dies when it is timed": lambda: os._exit(8) if THREADS else THREADS.append(threading.Thread()),
        "sleeps": lambda: time.sleep(0.001 * products),
        "on two cores": spin,
    }
    return PreparedCall(calls[what], {"what": what, "process": os.getpid()})


def synchronize() -> None:
    """Wait for what was asked for."""
    while THREADS and THREADS[-1].ident is not None:
        THREADS.pop().join()


def main() -> None:
    """Answer requests until the standard input ends."""
    stopwatch = Stopwatch(prepare, synchronize)
    on_two_cores: set[int] = set()

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        try:
            do = request.pop("do")
            found: dict[str, Any] = getattr(stopwatch, do)(**request)
            if do == "prepare" and request["what"] == "on two cores":
                on_two_cores.add(request["key"])
            elif do == "time" and request["key"] in on_two_cores:
                found["cpu"] = 2 * found["wall"]  # as it is told of a process whose threads had a core each
        except Exception as error:  # noqa: BLE001 - it is the subject's result
            return {"error": str(error)}
        return found

    serve({"version": "1", "arguments": sys.argv[1:]}, answer)


if __name__ == "__main__":
    main()
