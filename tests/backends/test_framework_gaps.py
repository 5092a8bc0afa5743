"""What the frameworks themselves still cannot do, so that a detour can be retired when they can.

Each gap is the framework's own call, and what it must still do wrong: raise, or give other values than the reference. A
gap that has closed fails here: then the detour that its comment names can go.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

PRELUDE = """
import numpy as np, torch, torch.nn.functional as F, tensorflow as tf
rng = np.random.default_rng(0)
T = lambda *s: torch.tensor(rng.standard_normal(s), dtype=torch.float32)
K = lambda *s: tf.constant(rng.standard_normal(s), tf.float32)
def gradient(f, *inputs):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = f(*inputs)
    return tape.gradient(y, inputs)
"""

ANY, OFF, ON = ("0", "1"), ("0",), ("1",)

# name: (oneDNN settings under which it fails, code that raises or asserts, what does it another way)
GAPS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "torch: same with stride": (
        ANY,
        "F.conv1d(T(1, 2, 9), T(2, 2, 3), stride=2, padding='same')",
        "problem.resolve_padding",
    ),
    "torch: uneven padding": (ANY, "F.conv1d(T(1, 2, 9), T(2, 2, 3), padding=(1, 0))", "formulations._pad_evenly"),
    "torch: empty result": (ANY, "F.conv1d(T(1, 2, 2), T(2, 2, 3))", "Backend.run"),
    "torch: gradient of a channels-last kernel with one output": (
        ANY,
        "w = T(2, 2, 1).requires_grad_()\n"
        "F.conv2d(T(1, 2, 2).transpose(1, 2).unsqueeze(2), w.permute(2, 1, 0).unsqueeze(2)).sum().backward()",
        "formulations._as_kernel",
    ),
    "tensorflow: uneven padding of conv1d": (
        ANY,
        "tf.nn.conv1d(K(1, 9, 2), K(3, 2, 2), 1, [[0, 0], [1, 0], [0, 0]])",
        "formulations.Conv2d",
    ),
    "tensorflow: channels first": (
        OFF,
        "tf.nn.conv2d(K(1, 2, 3, 9), K(1, 3, 2, 2), 1, 'VALID', 'NCHW')",
        "run.execute",
    ),
    "tensorflow: grouped gradient": (
        OFF,
        "gradient(lambda x, w: tf.nn.conv2d(x, w, 1, 'VALID'), K(1, 1, 9, 4), K(1, 3, 2, 4))",
        "formulations.Taps",
    ),
    "tensorflow: dilated gradient": (
        OFF,
        "gradient(lambda x, w: tf.nn.conv2d(x, w, 1, 'VALID', dilations=2), K(1, 9, 9, 2), K(3, 3, 2, 2))",
        "formulations.Taps",
    ),
    "tensorflow: grouped, fused with a bias": (
        OFF,
        "tf.function(lambda x, w, b: tf.nn.bias_add(tf.nn.conv2d(x, w, 1, 'VALID'), b))"
        "(K(1, 2, 9, 4), K(1, 3, 2, 4), K(4))",
        "the fence in formulations.Conv2d",
    ),
    "tensorflow: depthwise with unequal strides": (
        OFF,
        "tf.nn.depthwise_conv2d(K(1, 9, 9, 2), K(3, 1, 2, 1), [1, 2, 1, 1], 'VALID')",
        "formulations.Taps",
    ),
    "tensorflow: depthwise with stride and dilation": (
        ANY,
        """
x, w = K(1, 1, 20, 2), K(1, 3, 2, 1)
y = tf.nn.depthwise_conv2d(x, w, [1, 2, 2, 1], 'VALID', dilations=[1, 2]).numpy()
taps = sum(x[:, :, 2 * j : 2 * j + 16 : 2] * w[0, j, :, 0] for j in range(3)).numpy()
assert y.shape == taps.shape and np.allclose(y, taps), 'wrong values'
""",
        "formulations.Taps",
    ),
    "tensorflow: empty batch": (
        ON,
        "assert tf.nn.conv2d(K(0, 1, 9, 2), K(1, 3, 2, 5), 1, 'VALID').shape == (0, 1, 7, 5), 'wrong shape'",
        "formulations.shapes.reshaped",
    ),
}


@pytest.mark.parametrize("onednn", ["0", "1"])
def test_the_gaps_are_still_there(onednn: str) -> None:
    """In a process of its own, for each oneDNN setting: it is read once, when TensorFlow is imported."""
    code = PRELUDE + "closed = []\n"
    for name, (settings, body, instead) in GAPS.items():
        if onednn in settings:
            lines = textwrap.indent(body.strip(), "    ")
            code += f"try:\n{lines}\n    closed.append({f'{name}: {instead} is no longer needed'!r})\n"
            code += "except (RuntimeError, ValueError, TypeError, AssertionError, tf.errors.OpError):\n    pass\n"
    code += "print('closed:', closed)\n"
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": onednn, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "closed: []"
