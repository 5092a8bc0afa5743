"""Ways to compute a 1-D convolution in JAX, one subject in each file.

Each is built of steps that JAX differentiates itself, forward and backward and to every order.
"""

from xconv.core.formulation import Formulation
from xconv_jax.formulations.native import CONV1D, CONV2D, conv2d
from xconv_jax.formulations.taps import Taps

FORMULATIONS: tuple[Formulation, ...] = (CONV1D, CONV2D, Taps())

__all__ = ["FORMULATIONS", "conv2d"]
