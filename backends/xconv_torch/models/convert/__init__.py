"""2-D torch models to 1-D: traced, rewritten node by node, and proven."""

from xconv_torch.models.convert.converter import to_1d

__all__ = ["to_1d"]
