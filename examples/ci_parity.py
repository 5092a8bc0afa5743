"""A parity check for CI: exit code 0 if all backends agree, 1 if not.

python examples/ci_parity.py
"""

from __future__ import annotations

import sys

from xconv.parity import cases, run


def main() -> int:
    """Check the separable convolution and the transposed one, in float32, on every installed backend."""
    chosen = [c for c in cases("smoke") if c.operation in ("spatially_separable_conv2d", "conv1d_transpose")]
    report = run(dtypes=["float32"], modes=["eager"], cases=chosen, formulations="auto")
    print(report)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
