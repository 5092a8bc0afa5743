"""The shared suite: what every backend must do. Run it with :func:`xconv.testing.conformance`."""
