"""How many threads TensorFlow computes with."""

from __future__ import annotations

import os

import tensorflow as tf


def threads() -> int:
    """Those of an op: as many as were asked for, or all cores."""
    return int(tf.config.threading.get_intra_op_parallelism_threads()) or os.cpu_count() or 1
