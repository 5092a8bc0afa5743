"""Which convolution fits data."""
