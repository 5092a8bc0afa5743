"""Benchmarks: real layers, verified before they are timed, interleaved between worker processes."""

from xconv.bench.arena import Arena, Measurement
from xconv.bench.catalogue import Layer, catalogue
from xconv.bench.contender import Contender

__all__ = ["Arena", "Contender", "Layer", "Measurement", "catalogue"]
