"""Convolution along the words of embedded text: word order, which a bag of words cannot see. In both frameworks.

python examples/text_convolution.py
python examples/text_convolution.py --quick

Made reviews of 12 words are good or bad by what "not" turns round: "not good" is bad, "not bad" is good. Beside it
each has "quite" with the other word, so that all reviews hold "not", "quite", "good" and "bad" once. A kernel of one
word and the largest of its answers is a bag of words; one of two words sees the pair wherever it is (as in Kim 2014,
"Convolutional neural networks for sentence classification").
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from tabulate import tabulate

from xconv import models
from xconv.models import Adam, Conv1D, Dense, Flatten, MaxPool, Network

FILLER = ["the", "film", "was", "long", "we", "saw", "it", "with", "friends", "and", "popcorn", "in", "town"]
WORDS = ["not", "quite", "good", "bad", *FILLER]
LENGTH, DIMENSIONS = 12, 16
BACKENDS = ("torch", "tensorflow")


def reviews(rng: np.random.Generator, count: int) -> tuple[list[list[str]], Any]:
    """Sentences, and whether each is good."""
    labels = rng.integers(0, 2, count)
    texts = []
    for label in labels:
        words = list(rng.choice(FILLER, LENGTH))
        first, second = 2 * rng.choice(LENGTH // 2, 2, replace=False)
        negated, other = ("bad", "good") if label else ("good", "bad")
        words[first : first + 2] = ["not", negated]
        words[second : second + 2] = ["quite", other]
        texts.append(words)
    return texts, labels


def main() -> None:
    """Train networks that see one, two and three words at a time, and print how often they are right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few steps")
    steps = 60 if parser.parse_args().quick else 300
    rng = np.random.default_rng(0)
    embedding = rng.standard_normal((len(WORDS), DIMENSIONS)).astype("float32")

    def embedded(texts: list[list[str]]) -> Any:
        return embedding[[[WORDS.index(word) for word in words] for words in texts]]  # (N, words, dimensions)

    (texts, labels), (unseen, wanted) = reviews(rng, 512), reviews(rng, 1000)
    print(f"for example: {' '.join(texts[0])!r} is {'good' if labels[0] else 'bad'}\n")
    rows = []
    for kernel in (1, 2, 3):
        layers = Conv1D(16, kernel, "relu"), MaxPool(LENGTH - kernel + 1), Flatten(), Dense(1, "sigmoid")
        network = Network(f"{kernel}_words", (LENGTH, DIMENSIONS), layers)
        row: list[Any] = [kernel, network.weight_shapes["conv1d_1.kernel"], network.parameters]
        for backend in BACKENDS:
            done = models.train(
                network, models.initial_weights(network), embedded(texts), labels[:, None].astype("float32"),
                loss="binary_crossentropy", optimizer=Adam(0.01), steps=steps, batch=64, backend=backend,
            )  # fmt: skip
            answers = models.predict(network, done.weights, embedded(unseen), backend)[:, 0] > 0.5
            row.append(f"{(answers == wanted).mean():.1%}")
        rows.append(row)
    print(tabulate(rows, ["words at a time", "kernel", "parameters", *(f"right, {name}" for name in BACKENDS)]))


if __name__ == "__main__":
    main()
