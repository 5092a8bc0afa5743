"""Ways to compute a 1-D convolution in PyTorch."""

from __future__ import annotations

from collections.abc import Mapping

from xconv.formulation import Formulation
from xconv.problem import DIRECTIONS, ConvProblem
from xconv_torch.formulations.direct import DIRECT
from xconv_torch.formulations.fourier import OverlapSave
from xconv_torch.formulations.im2col import Im2col
from xconv_torch.formulations.native import Conv1d, Conv2d, overrun
from xconv_torch.formulations.taps import Taps

FORMULATIONS: tuple[Formulation, ...] = (
    Conv2d(),
    Conv1d(),
    DIRECT,
    OverlapSave(),
    Im2col(),
    Taps(),
)


def own_adjoints(formulation: Formulation, problem: ConvProblem) -> Mapping[str, Formulation] | None:
    """A formulation for each direction, where torch does not differentiate one, or would write out of its bounds."""
    if formulation is DIRECT:
        return dict.fromkeys(DIRECTIONS, DIRECT)
    if formulation.name not in ("conv1d", "conv2d") or overrun("input_gradient", problem) is None:
        return None
    return {each: Im2col() if overrun(each, problem) else formulation for each in DIRECTIONS}
