"""Do torch and Keras train the same networks alike? Result, gradients, and 20 steps of three optimisers.

python examples/training_agreement.py            (some four minutes)
python examples/training_agreement.py --quick
python examples/training_agreement.py stacked sensors
"""

from __future__ import annotations

import argparse
import sys

from xconv import models
from xconv.models.agreement import table


def main() -> int:
    """Print the table; exit with 1 if anything differs, or agrees without proving anything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(models.names)}; all by default")
    parser.add_argument("--quick", action="store_true", help="two small networks, few runs: wide tolerances")
    arguments = parser.parse_args()
    chosen = arguments.networks or (["single", "pattern_mlp"] if arguments.quick else models.names)
    found = []
    for name in chosen:
        print(f"{name} ...", file=sys.stderr, flush=True)
        found += models.training_agreement([name], runs=3 if arguments.quick else 9)
    print(table(found))
    for one in found:
        if not one.ok:
            print(f"\n{one}")
    return 0 if all(one.ok for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
