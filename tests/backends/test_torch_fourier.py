"""torch's overlap-save: what is recorded for gradients gives the bits of what is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.test_fourier import PROBLEMS
from xconv.core.problem import DIRECTIONS
from xconv_torch.formulations.fourier import OverlapSave


@pytest.mark.parametrize("quiet", [1.0, 1e-36, 1e-44])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_recorded_gives_the_same_bits(name: str, direction: str, quiet: float) -> None:
    """It cannot look at numbers first, and multiplies by powers of two: by 1 where nothing need be scaled."""
    problem, rng = PROBLEMS[name], np.random.default_rng(11)
    inner = (problem.inner,) if problem.inner > 1 else ()

    def signal(length: int, channels: int) -> torch.Tensor:
        found = quiet * rng.standard_normal((problem.outer, length, *inner, channels))
        found[:, ::3] = 1
        return torch.from_numpy(found.astype("float32"))

    x, dy = signal(problem.length, problem.in_channels), signal(problem.output_length, problem.out_channels)
    weight = torch.from_numpy(rng.integers(-2, 3, problem.weight_shape).astype("float32"))
    a, b = {"forward": (x, weight), "input_gradient": (dy, weight), "weight_gradient": (x, dy)}[direction]
    run = getattr(OverlapSave(), direction)
    plain = run(problem, 1, a, b)
    recorded = run(problem, 1, a.clone().requires_grad_(), b).detach()
    assert torch.equal(plain.contiguous().view(torch.int32), recorded.contiguous().view(torch.int32))
