"""A parity check for CI: xconv's operations on the backends that must be there, and a port of your own.

python examples/ci_parity.py
python examples/ci_parity.py --backend torch --backend tensorflow --junit parity.xml

Exit code 0: all agree; 1: something differs, raises, or agrees without proving anything; 2: a backend that was asked
for is not there. The whole of it, without a script: xconv parity --junit parity.xml (docs/parity.md).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

import xconv
from xconv.parity import cases, run
from xconv.parity.formats import to_junit
from xconv.testing import compare, on


def port(backend: str) -> Any:
    """What stands for code of yours: a gated causal layer, as one backend computes it."""

    def layer(x: Any, content: Any, gate: Any) -> Any:
        how: dict[str, Any] = {"padding": "causal", "dilation": 2, "backend": backend}
        return np.tanh(xconv.conv1d(x, content, **how)) / (1 + np.exp(-xconv.conv1d(x, gate, **how)))

    return on("numpy", layer)


def main() -> int:
    """Check two operations and the port, in float32; no tolerance is chosen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", action="append", metavar="NAME", help="default: all that are installed")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the report of the operations there")
    arguments = parser.parse_args()
    backends = arguments.backend or xconv.backends()
    chosen = [c for c in cases("smoke") if c.operation in ("spatially_separable_conv2d", "conv1d_transpose")]
    try:
        report = run(backends, dtypes=["float32"], modes=["eager"], cases=chosen, formulations="auto")
    except xconv.XconvError as error:
        print(error, file=sys.stderr)
        return 2
    print(report)
    if arguments.junit:
        arguments.junit.write_text(to_junit(report), "utf-8")
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(shape).astype("float32") for shape in ((2, 50, 4), (3, 4, 8), (3, 4, 8))]
    found = [compare(port(backends[0]), port(other), *inputs, gradients=False) for other in backends[1:]]
    print(*(f"\n{backends[0]} and {other}\n{one}" for other, one in zip(backends[1:], found, strict=True)), sep="\n")
    return 0 if report.ok and all(one.ok for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
