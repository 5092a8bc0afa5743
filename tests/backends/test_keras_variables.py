"""Keras' variables, symbolic tensors and layers, whichever framework computes them; each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

COMPUTED_BY = ("torch", "tensorflow", "jax")

WITHOUT = """
import sys
if KERAS != "tensorflow":
    sys.modules["tensorflow"] = None  # is not asked for
"""

VARIABLES = """
import json
import keras
import numpy as np
import xconv
from tests.every_call import EVERY, arrays
from xconv.core.registry import name_of_array

assert keras.backend.backend() == KERAS
backend = xconv.get_backend(KERAS)
done = []
for case in EVERY:
    tensors = arrays(backend, case)
    wanted = backend.to_numpy(case.run(*tensors))
    variables = [keras.Variable(backend.to_numpy(tensor)) for tensor in tensors]
    for place in range(len(tensors)):
        given = [*tensors[:place], variables[place], *tensors[place + 1 :]]
        for _ in range(2):
            y = case.run(*given)
            assert name_of_array(y) == KERAS
            assert np.array_equal(backend.to_numpy(y), wanted), (case.name, place)
    assert np.array_equal(backend.to_numpy(case.run(*variables)), wanted), case.name
    above = backend.from_numpy(case.inputs("integers", "float64")[-1].astype("float32"), "cpu")
    expected = backend.gradients(case.run, tensors, above)
    if KERAS == "torch":
        import torch

        found = torch.autograd.grad(case.run(*variables), [variable.value for variable in variables], above)
    elif KERAS == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            y = case.run(*variables)
        found = tape.gradient(y, [variable.value for variable in variables], above)
    else:
        import jax

        def function(*numbers):
            with keras.StatelessScope(list(zip(variables, numbers))):
                return case.run(*variables)

        found = jax.vjp(function, *tensors)[1](above)
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(backend.to_numpy(one), backend.to_numpy(other)), case.name
    symbolic = keras.KerasTensor(case.passed_shapes()[0])
    try:
        case.run(symbolic, *tensors[1:])
    except xconv.ArgumentError as error:
        assert error.argument == "x"
        assert "call a layer on it" in str(error)
    else:
        raise AssertionError("a symbolic tensor has no numbers")
    done.append(case.name)
print(json.dumps(done))
"""

LAYERS = """
import json
import keras
import numpy as np
from xconv.testing import assert_parity
from xconv_tensorflow.layers import Conv1D, Conv1DTranspose

done = []
x = np.random.default_rng(0).standard_normal((2, 19, 4)).astype("float32")
pairs = [
    (keras.layers.Conv1D(6, 3, strides=2, padding="same"), Conv1D(6, 3, strides=2, padding="same")),
    (keras.layers.Conv1D(6, 3, groups=2, activation="relu"), Conv1D(6, 3, groups=2, activation="relu")),
    (keras.layers.Conv1DTranspose(6, 3, strides=2), Conv1DTranspose(6, 3, strides=2)),
]
for own, mine in pairs:
    inputs = keras.Input((None, 4))
    models = [keras.Model(inputs, layer(inputs)) for layer in (own, mine)]
    mine.set_weights(own.get_weights())
    for f, g in ((own, mine), models, (own, lambda x, mine=mine: mine(x))):
        assert assert_parity(f, g, x).ok
        done.append(type(own).__name__)
wrong = Conv1D(6, 3, strides=2, padding="causal")
wrong.build(x.shape)
wrong.set_weights(pairs[0][0].get_weights())
try:
    assert_parity(pairs[0][0], wrong, x)
except AssertionError:
    done.append("told apart")
print(json.dumps(done))
"""


def said(code: str, computed_by: str) -> list[str]:
    """What a new process prints last."""
    environment = {**os.environ, "KERAS_BACKEND": computed_by}
    program = f"KERAS = {computed_by!r}\n{WITHOUT}\n{code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("computed_by", COMPUTED_BY)
def test_variables_are_the_tensors_that_they_hold(computed_by: str) -> None:
    """In every operation, layout and place, gradients too."""
    assert len(said(VARIABLES, computed_by)) == 14


@pytest.mark.parametrize("computed_by", COMPUTED_BY)
def test_layers_are_compared_where_they_are_computed(computed_by: str) -> None:
    found = said(LAYERS, computed_by)
    assert len(found) == 10
    assert found[-1] == "told apart"
