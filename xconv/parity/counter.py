"""How many checks of a run are done, told as they are."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Counter:
    """What several threads have done."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        self.total, self.done, self.stopped = total, 0, False
        self._progress, self._lock = progress, threading.Lock()

    def add(self, count: int) -> None:
        """Tell that ``count`` more are done."""
        with self._lock:
            self.done += count
            if self._progress:
                self._progress(min(self.done, self.total), self.total)
