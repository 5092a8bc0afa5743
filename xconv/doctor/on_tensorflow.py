"""TensorFlow for the doctor: how it is set, and its own ops as its users write them."""

from __future__ import annotations

import os
from typing import Any

from xconv.doctor.found import Setting
from xconv.parity.cases import Case
from xconv.system.cores import allowed_cores

CHANNELS_LAST = True


def settings() -> dict[str, Setting]:
    """What changes results or speed; nothing is set, and TensorFlow's devices are not initialised."""
    import tensorflow as tf

    threads = tf.config.threading
    return {
        "tf32": bool(tf.config.experimental.tensor_float_32_execution_enabled()),
        "onednn": _onednn(),
        "deterministic": _deterministic(),
        "intra_op_threads": int(threads.get_intra_op_parallelism_threads()),
        "interop_threads": int(threads.get_inter_op_parallelism_threads()),
        "xla_clustering": str(tf.config.optimizer.get_jit() or "off"),
        "functions_run_eagerly": bool(tf.config.functions_run_eagerly()),
        "cuda": tf.sysconfig.get_build_info().get("cuda_version"),
        "cudnn": tf.sysconfig.get_build_info().get("cudnn_version"),
    }


def threads() -> int:
    """How many threads compute: as it was told, as its variable says, or as many as there are cores it may use."""
    import tensorflow as tf

    told = int(tf.config.threading.get_intra_op_parallelism_threads())
    said = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return told or (int(said) if said.isdecimal() else 0) or allowed_cores()


def own(case: Case, x: Any, weight: Any) -> Any:
    """``tf.nn.conv1d`` and its kin. Kernels are (kernel, in, out) in either layout."""
    import tensorflow as tf

    if not case.layout.endswith("C"):
        spatial = len(case.layout) - 2
        weight = tf.transpose(weight, [*range(2, 2 + spatial), 1, 0])
    options = {"stride": 1, "dilation": 1, "groups": 1, "padding": "valid", **case.options}
    padding = options["padding"]
    padding = padding.upper() if isinstance(padding, str) else [[0, 0], list(padding), [0, 0]]
    if case.row.is_transposed:
        return _transposed(case, x, weight, options, padding)
    inputs = weight.shape[-2] * options["groups"]
    if 1 < options["groups"] == inputs:
        return _depthwise(case, x, weight, options, padding)
    if case.row.is_2d:
        return tf.nn.conv2d(x, weight, options["stride"], padding, case.layout, options["dilation"])
    return tf.nn.conv1d(x, weight, options["stride"], padding, case.layout, options["dilation"])


def _depthwise(case: Case, x: Any, weight: Any, options: dict[str, Any], padding: Any) -> Any:
    """On an image; a signal is one of height 1. The kernel is (height, width, in, multiplier)."""
    import tensorflow as tf

    if case.row.rank == 3:
        x, weight = x[:, None], weight[None]
    height, width, _, outputs = weight.shape
    kernel = tf.reshape(weight, (height, width, options["groups"], outputs // options["groups"]))
    step, spread = (value if isinstance(value, tuple) else (value, value) for value in _both(options))
    y = tf.nn.depthwise_conv2d(x, kernel, [1, *step, 1], padding, dilations=list(spread))
    return y[:, 0] if case.row.rank == 3 else y


def _transposed(case: Case, x: Any, weight: Any, options: dict[str, Any], padding: Any) -> Any:
    import tensorflow as tf

    [call] = case.calls()
    shape, step, spread = call.result_shape(tuple(x.shape)), options["stride"], options["dilation"]
    return tf.nn.conv1d_transpose(x, weight, shape, step, padding, case.layout, spread)


def _both(options: dict[str, Any]) -> tuple[Any, Any]:
    return options["stride"], options["dilation"]


def _onednn() -> Setting:
    """What TensorFlow itself says: without the variable it decides by the CPU."""
    try:
        from tensorflow.python.framework.test_util import IsMklEnabled
    except ImportError:  # it is not public
        return os.environ.get("TF_ENABLE_ONEDNN_OPTS")
    return bool(IsMklEnabled())


def _deterministic() -> Setting:
    try:
        from tensorflow.python.framework.config import is_op_determinism_enabled
    except ImportError:  # it is not public
        return None
    return bool(is_op_determinism_enabled())
