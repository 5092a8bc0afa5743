"""How often xconv.advise is right on data whose answer is known, and how it errs: a confusion matrix.

python examples/advise_error_rates.py 100
python examples/advise_error_rates.py --quick
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np
from tabulate import tabulate
from tqdm import tqdm

import xconv
from xconv.advice.known import KNOWN

ANSWERS = ("none", "conv1d", "rows", "columns", "separable", "conv2d")


def main() -> None:
    """Ask for advice on each process as often as is said, and print what was answered how often."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="?", default=20, help="samples of each process (default: 20)")
    parser.add_argument("--quick", action="store_true", help="two samples of each: too few to say much")
    arguments = parser.parse_args()
    seeds = 2 if arguments.quick else arguments.seeds
    rows = []
    for known in tqdm(KNOWN, unit="process", leave=False, disable=None):
        answers: Counter[str] = Counter()
        for seed in range(seeds):
            sample = known.draw(np.random.default_rng([seed, len(known.name)]))
            answers[xconv.advise(sample, known.axes, seed=seed).recommendation] += 1
        wrong = seeds - sum(answers[answer] for answer in known.right)
        rows.append([known.name, *(answers[answer] or "" for answer in ANSWERS), f"{wrong / seeds:.1%}"])
    print(tabulate(rows, ["process", *ANSWERS, "wrong"], tablefmt="github"))


if __name__ == "__main__":
    main()
