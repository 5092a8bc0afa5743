"""A third party's backend that goes wrong in every way: PyTorch's, with a fault for each case that is named for it."""

from __future__ import annotations

import os
import time
from typing import Any

from xconv.backend import Backend
from xconv.registry import BackendSpec


def _load() -> Backend:
    from xconv_torch.backend import TorchBackend

    class Stranger(TorchBackend):
        name = "stranger"

        def compute(self, form: Any, direction: str, problem: Any, *rest: Any, **options: Any) -> Any:
            y = super().compute(form, direction, problem, *rest, **options)
            if problem.kernel == 2:  # each fault has its own length
                if problem.length == 11:
                    os.abort()
                if problem.length == 12:
                    time.sleep(60)
                if problem.length == 13:
                    raise RuntimeError("out of memory\nand more lines")
                if problem.length == 14:
                    return y.double()
                if problem.length == 15:
                    return y[:, :-1]
                if problem.length == 16:
                    return y.detach().tolist()
                if problem.length == 17:
                    return y + 1
            return y

    return Stranger()


SPEC = BackendSpec("stranger", (), "torch", "pip install 'xconv[torch]'", _load)
