"""2-D networks of keras.applications to 1-D, with their weights, and proven: which layers are exact, and how far.

python examples/convert_keras_applications.py
python examples/convert_keras_applications.py --quick

The weights are random, the batch-norm statistics those of a batch: with those of a new network the outputs would
hardly vary, and agreement would prove nothing. With ``weights="imagenet"`` the same works on trained ones.
"""

from __future__ import annotations

import argparse
from typing import Any

import keras
import numpy as np
from tabulate import tabulate

import xconv

NETWORKS = ("VGG16", "ResNet50", "MobileNetV2", "EfficientNetV2B0", "DenseNet121")
SHAPE = (None, None, 3)
HEADERS = ("model", "exact", "exact if", "heuristic", "error", "of at most", "verdict", "parameters", "after")


def with_head(name: str) -> Any:
    """A network without its top, and a head of ten classes."""
    make: Any = getattr(keras.applications, name)
    base = make(weights=None, include_top=False, input_shape=SHAPE)
    features = keras.layers.GlobalAveragePooling2D()(base.output)
    return keras.Model(base.input, keras.layers.Dense(10, name="classes")(features), name=name.lower())


def with_statistics(model: Any, seed: int = 0) -> Any:
    """The model with the batch-norm statistics that a batch of random images gives."""
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    model(np.random.default_rng(seed).standard_normal((4, 64, 64, 3)).astype("float32"), training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
    return model


def row(name: str, model: Any) -> tuple[Any, ...]:
    """Convert a network for signals of 96 samples, and prove it."""
    report = xconv.to_1d(model, input_shape=(96, 3)).report
    counts, proof = report.counts(), report.verify()
    numbers = (counts["exact"], counts["exact if"], counts["heuristic"])
    return (name, *numbers, f"{proof.error:.1e}", f"{proof.tolerance:.1e}", proof.verdict, *report.parameters)


def main() -> None:
    """Print a table of the networks that are named, or of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NETWORKS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="the smallest one alone")
    arguments = parser.parse_args()
    names = ["MobileNetV2"] if arguments.quick else arguments.names or NETWORKS
    rows = [row(name, with_statistics(with_head(name))) for name in names]
    print(tabulate(rows, HEADERS, intfmt=",", disable_numparse=[4, 5]))


if __name__ == "__main__":
    main()
