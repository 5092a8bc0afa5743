"""Where is a motif in DNA? A one-hot sequence, a one-hot filter, and the places where they agree in every base.

python examples/dna_motif.py

A filter that is the motif's own one-hot code counts matching bases, so a score of its length is a match, exactly. Two
filters, the second for the reverse complement, search both strands at once; N stands for any base. The places are
compared with those of a regular expression.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from tabulate import tabulate

import xconv

BASES = "ACGT"
CODES = {**{base: base for base in BASES}, "N": BASES, "R": "AG", "Y": "CT", "W": "AT", "S": "CG"}
MOTIF = "TGACNTCA"  # what AP-1 and CREB bind to, with a base in the middle left open


def one_hot(text: str) -> Any:
    """(length, 4): 1 for each base that a letter stands for."""
    return np.array([[float(base in CODES[letter]) for base in BASES] for letter in text], "float32")


def reverse_complement(text: str) -> str:
    """The other strand, read in its own direction."""
    return text[::-1].translate(str.maketrans("ACGTRYSWN", "TGCAYRSWN"))


def find(sequences: list[str], motif: str) -> list[tuple[int, int, str]]:
    """Each match as (sequence, place, strand), by one convolution."""
    x = np.stack([one_hot(text) for text in sequences])
    filters = np.stack([one_hot(motif), one_hot(reverse_complement(motif))], axis=-1)
    scores = xconv.conv1d(x, filters)
    # sums of zeros and ones are exact, so no threshold has to be chosen
    return [(int(n), int(at), "+-"[strand]) for n, at, strand in np.argwhere(scores == len(motif))]


def expected(sequences: list[str], motif: str) -> list[tuple[int, int, str]]:
    """The same by regular expressions."""
    found = []
    for strand, text in zip("+-", (motif, reverse_complement(motif)), strict=True):
        pattern = re.compile("(?=" + "".join(f"[{CODES[letter]}]" for letter in text) + ")")
        found += [(n, match.start(), strand) for n, seq in enumerate(sequences) for match in pattern.finditer(seq)]
    return sorted(found)


def main() -> None:
    """Plant the motif in random sequences, find it, and print where."""
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list(BASES), 1344)) for _ in range(64)]
    planted = {(3, 100): "TGACATCA", (17, 1336): "TGACGTCA", (40, 0): reverse_complement("TGACCTCA")}
    for (number, at), text in planted.items():
        sequences[number] = sequences[number][:at] + text + sequences[number][at + len(text) :]
    found = sorted(find(sequences, MOTIF))
    shown = [(n, at, strand, sequences[n][at : at + len(MOTIF)], (n, at) in planted) for n, at, strand in found]
    print(tabulate(shown, ["sequence", "place", "strand", "bases", "planted"]))
    agree = found == expected(sequences, MOTIF) and set(planted) <= {(n, at) for n, at, _ in found}
    print(f"{len(found)} matches in 64 sequences of 1344 bases, the three planted ones among them: {agree}")
    assert agree


if __name__ == "__main__":
    main()
