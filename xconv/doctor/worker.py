"""The process that tries what might crash: ``python -m xconv.doctor.worker BACKEND MODULE``.

It says what it is, then reads one JSON request a line and writes one JSON answer a line. What a framework prints goes
to the standard error. MODULE has a framework's settings and its own ops, as :mod:`xconv.doctor.on_torch`.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import xconv
from xconv.doctor.features import FEATURES, OwnCase, laid_out, operation_case
from xconv.doctor.frameworks import look, reason
from xconv.system.child import serve


def main(name: str, module: str) -> None:
    """Answer until the requests end."""
    try:
        about: dict[str, Any] = look(name, module)
    except Exception as error:  # noqa: BLE001 - whatever it is that does not load
        about = {"error": reason(error)}

    def answer(request: dict[str, str]) -> dict[str, str]:
        verdict, detail = attempt(name, module, **request)
        return {"verdict": verdict, "detail": detail}

    serve(about, answer)


def attempt(
    backend: str, module: str, *, device: str, subject: str, name: str, dtype: str, mode: str
) -> tuple[str, str]:
    """Compute one square of the matrix and compare it with the reference; the verdict, and what there is to say."""
    from xconv.parity.check import check

    adapter = xconv.get_backend(backend)
    if subject == "operation":
        case = operation_case(name)
    else:
        ways: Any = importlib.import_module(module) if module else None
        case = laid_out(FEATURES[name], channels_last=ways is None or ways.CHANNELS_LAST)
        if subject == "own op":
            case = OwnCase(**vars(case), own=ways.own)
    how = mode if mode in adapter.modes else "eager"
    gradients = mode != "forward"
    try:
        findings = check(
            adapter, case, kind="integers", dtype=dtype, device=device, mode=how, gradients=gradients, seed=1
        )
    except Exception as error:  # noqa: BLE001 - an answer, not a crash
        return ("refuses" if subject == "own op" else "error"), reason(error)
    if mode == "gradient" and subject == "own op":
        findings = [finding for finding in findings if finding.array != "y"]  # that is another square
    wrong = [f"{finding.array}: {finding.detail}" for finding in findings if not finding.ok]
    return ("WRONG", "; ".join(wrong)) if wrong else ("yes", "")


if __name__ == "__main__":
    main(*sys.argv[1:])
