"""Benchmarks: real layers, verified before they are timed, interleaved between worker processes."""

from xconv.bench.arena import Arena, Contender, Measurement
from xconv.bench.catalogue import Layer, catalogue

__all__ = ["Arena", "Contender", "Layer", "Measurement", "catalogue"]
