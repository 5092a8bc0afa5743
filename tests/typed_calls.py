"""What a type checker knows of the operations: the type of ``x`` is the type of the result.

mypy reads it with all other files (`nox -s lint`); it is never run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeAlias, assert_type

    import numpy as np
    import numpy.typing as npt
    import torch

    import xconv

    Floats: TypeAlias = npt.NDArray[np.float32]


def check_torch(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> None:
    assert_type(xconv.conv1d(x, weight, bias), torch.Tensor)
    assert_type(xconv.conv2d_as_1d(x, weight, bias), torch.Tensor)
    assert_type(xconv.conv1d_rows(x, weight, bias), torch.Tensor)
    assert_type(xconv.conv1d_columns(x, weight, bias), torch.Tensor)
    assert_type(xconv.conv1d_transpose(x, weight, bias), torch.Tensor)
    assert_type(xconv.conv2d(x, weight, bias), torch.Tensor)
    assert_type(xconv.spatially_separable_conv2d(x, weight, weight, bias), torch.Tensor)


def check_numpy(x: Floats, weight: Floats) -> None:
    assert_type(xconv.conv1d(x, weight), Floats)
    assert_type(xconv.conv2d(x, weight), Floats)


def check_plan(plan: xconv.Plan, x: torch.Tensor, weight: torch.Tensor) -> None:
    assert_type(plan(x, weight), torch.Tensor)
    assert_type(plan.pack(weight)(x), torch.Tensor)
