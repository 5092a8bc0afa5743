"""PyTorch for the doctor: how it is set, and its own ops as its users write them."""

from __future__ import annotations

from typing import Any

from xconv.doctor.found import Setting
from xconv.parity.cases import Case

CHANNELS_LAST = False


def settings() -> dict[str, Setting]:
    """What changes results or speed; nothing is set, and no GPU is touched."""
    import torch

    backends: Any = torch.backends
    found: dict[str, Setting] = {
        "onednn": bool(backends.mkldnn.is_available() and backends.mkldnn.enabled),
        "cpu_kernels": str(backends.cpu.get_cpu_capability()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "autotune": bool(backends.cudnn.benchmark),
        "cudnn": backends.cudnn.version() if backends.cudnn.is_available() else None,
        "cudnn_deterministic": bool(backends.cudnn.deterministic),
        "cuda": torch.version.cuda,
        "interop_threads": torch.get_num_interop_threads(),
        "default_dtype": str(torch.get_default_dtype()).removeprefix("torch."),
    }
    return {**precision(), **found}


def precision() -> dict[str, Setting]:
    """How float32 is computed.

    Once a new switch (``fp32_precision``) is set, reading an old one (``allow_tf32``) may raise. So the old ones are
    read only by a torch that has no new ones. "none" leaves it to the switch above, and that to torch's default, which
    is TF32 for convolutions by cuDNN and full precision for all else.
    """
    import torch

    backends: Any = torch.backends
    if not hasattr(backends, "fp32_precision"):
        old = {"cudnn": backends.cudnn.allow_tf32, "matmul": backends.cuda.matmul.allow_tf32}
        return {"tf32": any(old.values()), **{f"allow_tf32 {name}": value for name, value in old.items()}}
    new = {
        "cudnn.conv": backends.cudnn.conv.fp32_precision,
        "cuda.matmul": backends.cuda.matmul.fp32_precision,
        "mkldnn.conv": backends.mkldnn.conv.fp32_precision,
        "mkldnn.matmul": backends.mkldnn.matmul.fp32_precision,
    }
    tf32 = "tf32" in (new["cudnn.conv"], new["cuda.matmul"])
    return {"tf32": tf32, **{f"fp32_precision {name}": value for name, value in new.items()}}


def own(case: Case, x: Any, weight: Any) -> Any:
    """``F.conv1d`` and its kin; a user with channels last moves the axes."""
    if case.layout.endswith("C"):
        spatial = len(case.layout) - 2
        kernel = weight.permute(spatial + 1, spatial, *range(spatial))
        moved = _own(case, x.movedim(-1, 1), kernel)
        return moved.movedim(1, -1)
    return _own(case, x, weight)


def _own(case: Case, x: Any, weight: Any) -> Any:
    import torch.nn.functional as F

    options = dict(case.options)
    padding = options.pop("padding", 0)
    padding = 0 if padding == "valid" else padding
    functions: dict[tuple[int, bool], Any] = {(3, False): F.conv1d, (4, False): F.conv2d, (3, True): F.conv_transpose1d}
    return functions[case.row.rank, case.row.is_transposed](x, weight, padding=padding, **options)
