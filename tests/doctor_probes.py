"""Own ops that misbehave, for tests of the doctor: a module as xconv.doctor.on_torch."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from xconv.doctor.found import Setting
from xconv.parity.cases import Case

CHANNELS_LAST = True


def settings() -> dict[str, Setting]:
    return {"of": "the tests"}


def own(case: Case, x: Any, weight: Any) -> Any:
    print("a line that is no answer")
    right = Case.run(case, x, weight)
    if case.name == "dense":
        print("Check failed: it is not aligned", file=sys.stderr)
        sys.stderr.flush()
        os.abort()
    if case.name == "strided":
        time.sleep(3600)
    if case.name == "dilated":
        raise RuntimeError("dilation is not supported\nand more")
    if case.name == "grouped":
        return right + 1
    if case.name == "depthwise":
        return right[:, 1:]
    if case.name == "long kernel, strided, many outputs":
        import atexit

        atexit.register(os.abort)  # as what was spoiled shows when memory is freed
    return right
