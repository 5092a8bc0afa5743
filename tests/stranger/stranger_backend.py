"""A third party's backend that goes wrong in every way: PyTorch's, with a fault for each length of a kernel of two."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import Any

from xconv.core.backend import Backend
from xconv.core.registry import BackendSpec


def _load() -> Backend:
    from xconv_torch.backend import BACKEND

    # torch's tensors lead to torch's backend, so that is the one that is spoilt, in the process that asks for it
    vars(BACKEND).setdefault("compute", partial(_wrong, type(BACKEND).compute, BACKEND))
    vars(BACKEND).setdefault("lowered", lambda _: None)  # all calls go through what is spoilt
    return BACKEND


def _wrong(right: Any, backend: Backend, lowering: Any, direction: str, problem: Any, *rest: Any) -> Any:
    y = right(backend, lowering, direction, problem, *rest)
    if problem.kernel != 2:
        return y
    if "STRANGER_IS_MILD" in os.environ:
        return y + 1
    if problem.length == 11:
        os.abort()
    if problem.length == 12:
        time.sleep(60)
    if problem.length == 13:
        raise RuntimeError("out of memory\nand more lines")
    spoilt = {14: y.double, 15: lambda: y[:, :-1], 16: lambda: y.detach().tolist(), 17: lambda: y + 1}
    return spoilt.get(problem.length, lambda: y)()


SPEC = BackendSpec("stranger", (), "torch", "pip install 'xconv[torch]'", _load)
