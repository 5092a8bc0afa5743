"""Ways to compute a 1-D convolution in PyTorch."""

from __future__ import annotations

from xconv.backend import Formulation
from xconv_torch.formulations.blocked import Blocked
from xconv_torch.formulations.folded import Folded, Phases, Wide
from xconv_torch.formulations.fourier import OverlapSave
from xconv_torch.formulations.gemm import Im2col, Toeplitz
from xconv_torch.formulations.native import Conv1d, Conv2d
from xconv_torch.formulations.taps import Taps

FORMULATIONS: tuple[Formulation, ...] = (
    Conv2d(),
    Conv1d(),
    Blocked(),
    Taps(),
    Folded(),
    Wide(),
    Phases(),
    Im2col(),
    Toeplitz(),
    OverlapSave(),
)
