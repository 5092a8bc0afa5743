"""The networks that articles on Conv1D against Conv2D teach with, by name."""

from __future__ import annotations

from xconv.models.spec import Conv1D, Conv2D, Dense, Flatten, Fold, MaxPool, Network
from xconv.system.errors import ArgumentError, nearest

_NETWORKS = (
    Network(
        "time_series_classifier",
        (100, 3),
        (Conv1D(32, 5, "relu"), MaxPool(2), Flatten(), Dense(1, "sigmoid")),
        "an article on when to take Conv1D and when Conv2D: 100 steps of 3 sensors, two classes",
    ),
    Network(
        "image_classifier",
        (32, 32, 3),
        (Conv2D(32, 3, "relu"), MaxPool(2), Flatten(), Dense(10, "softmax")),
        "the same article's other half: colour images of 32 x 32, ten classes",
    ),
    Network(
        "small_2d",
        (64, 64, 3),
        (Conv2D(32, 3, "relu"), MaxPool(2), Flatten(), Dense(10, "softmax")),
        "an article on turning a 2-D network into a 1-D one: the network before",
    ),
    Network(
        "small_1d",
        (4096, 3),
        (Conv1D(32, 3, "relu"), MaxPool(2), Flatten(), Dense(10, "softmax")),
        "the same article's network after: the image read line by line, so that vertical neighbours lie 64 apart",
    ),
    Network(
        "spectrogram_classifier",
        (100, 64, 1),
        (
            Fold(), Conv1D(32, 3, "relu"), MaxPool(2), Conv1D(64, 3, "relu"), MaxPool(2), Flatten(),
            Dense(10, "softmax"),
        ),
        "the same article's spectrogram of 100 frames and 64 frequencies, which become channels; ten classes",
    ),
    Network(
        "single",
        (20, 1),
        (Conv1D(32, 3, "relu"), Flatten(), Dense(10, "softmax")),
        "an article on Conv1D step by step: the smallest network",
    ),
    Network(
        "sensors",
        (50, 3),
        (Conv1D(64, 5, "relu"), Flatten(), Dense(10, "softmax")),
        "the same article: three sensors are three channels, and the kernel has shape (5, 3, 64)",
    ),
    Network(
        "stacked",
        (100, 1),
        (Conv1D(64, 3, "relu"), MaxPool(2), Conv1D(128, 3, "relu"), MaxPool(2), Flatten(), Dense(10, "softmax")),
        "the same article: two convolutions, the second sees 8 input elements",
    ),
    Network(
        "pattern_conv",
        (100, 1),
        (Conv1D(16, 9, "relu"), MaxPool(92), Flatten(), Dense(3, "softmax")),
        "the same article's claim that a convolution finds a pattern wherever it lies: the largest of all answers",
    ),
    Network(
        "pattern_mlp",
        (100, 1),
        (Flatten(), Dense(16, "relu"), Dense(3, "softmax")),
        "what that is compared with: as many hidden units, each of which sees every element",
    ),
)  # fmt: skip

names = tuple(network.name for network in _NETWORKS)
"""The named networks; the article's pairs stand side by side."""


def network(name: str) -> Network:
    """A network by its name; ``network(name).source`` says where it comes from.

    Args:
        name: one of :data:`xconv.models.names`.

    Returns:
        The network.

    Raises:
        ArgumentError: an unknown name.

    >>> network("sensors").weight_shapes["conv1d_1.kernel"]
    (5, 3, 64)
    """
    for one in _NETWORKS:
        if one.name == name:
            return one
    known = ", ".join(map(repr, names))
    raise ArgumentError("network", "name", repr(name), f"one of {known}", nearest(str(name), names))
