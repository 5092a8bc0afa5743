"""One call in two frameworks: the same layer, the same numbers, gradients included.

python examples/researcher.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import torch

import xconv


def main() -> None:
    """Run a causal dilated layer in torch and in TensorFlow, and compare results and gradients."""
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((8, 1000, 16), "float32")  # batch, time, channels
    kernel = rng.standard_normal((3, 16, 32), "float32")  # taps, in, out
    options: dict[str, Any] = {"padding": "causal", "dilation": 4}

    x, w = torch.from_numpy(signal), torch.from_numpy(kernel).requires_grad_()
    y = xconv.conv1d(x, w, **options)
    y.square().mean().backward()

    w_tf = tf.Variable(kernel)
    with tf.GradientTape() as tape:
        y_tf = xconv.conv1d(tf.constant(signal), w_tf, **options)
        loss = tf.reduce_mean(y_tf**2)
    gradient = tape.gradient(loss, w_tf)

    assert w.grad is not None
    print("result    ", tuple(y.shape), "largest difference", float(np.abs(y.detach().numpy() - y_tf.numpy()).max()))
    print("gradient  ", tuple(w.grad.shape), "largest difference", float(np.abs(w.grad.numpy() - gradient).max()))


if __name__ == "__main__":
    main()
