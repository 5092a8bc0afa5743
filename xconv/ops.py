"""The operations: names and layouts to a problem, and back.

Each is a thin name over one problem, so what is said of one holds for all:

- ``x`` is a torch tensor, a TensorFlow tensor (eager or symbolic) or variable, or a NumPy array; the result is of the
  same type, on the same device, in the same gradient graph. NumPy arrays are computed by ``backend`` on ``device``.
- ``layout`` names the axes of ``x`` and of the result. Channels last takes kernels ``(kernel, in/groups, out)``,
  channels first ``(out, in/groups, kernel)``.
- It is a correlation: the kernel is not flipped.
- ``padding``: ``"valid"``, ``"same"`` (odd pads on the high side, with any stride), ``"same_lower"``, ``"causal"``
  (all on the low side), ``"full"``, an integer, or ``(low, high)``. ``padding_mode``: ``"zeros"``, ``"reflect"``,
  ``"replicate"``, ``"circular"``.
- An integer is anything with ``__index__`` (NumPy's too), and no bool. Where one axis slides, a tuple of one integer is
  that integer: ``stride=layer.stride`` of an ``nn.Conv1d`` or a Keras ``Conv1D`` means what it means there.
- ``formulation`` names the way it is computed; ``"auto"`` takes the one that is expected to be fastest, and ``"local"``
  the fastest of those in which an element reaches only the results whose windows hold it: no Fourier transform, whose
  errors spread over a block of the signal.
- dtypes float32, float64, float16, bfloat16; float16 and bfloat16 are summed in float32 and rounded once.
- :class:`~xconv.errors.ArgumentError` is raised for anything that does not fit, before a framework is reached.
"""

from __future__ import annotations

from typing import Any, TypeVar

from xconv.calls.run import run, run_steps
from xconv.core.formulation import Array
from xconv.system.autograph import unconverted

T = TypeVar("T")
"""The type of ``x``, and so of the result: a torch tensor gives a torch tensor."""


@unconverted
def conv1d(
    x: T,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: int = 1,
    padding: str | int | tuple[int, int] = "valid",
    padding_mode: str = "zeros",
    dilation: int = 1,
    groups: int = 1,
    layout: str = "NWC",
    formulation: str = "auto",
    backend: str | None = None,
    device: str | None = None,
) -> T:
    """1-D convolution along W.

    Args:
        x: (N, W, C), or (N, C, W) with ``layout="NCW"``.
        weight: (kernel, in/groups, out), or (out, in/groups, kernel) with ``layout="NCW"``.
        bias: (out,), or None.
        stride: elements between neighbouring outputs.
        padding: a name, an integer, or (low, high) in elements.
        padding_mode: what the pads hold.
        dilation: elements between neighbouring taps, from 1.
        groups: channel groups; as many as input channels make it depthwise.
        layout: "NWC" or "NCW".
        formulation: how to compute it: "auto", "local", or a name.
        backend: for NumPy arrays, who computes it; by default torch.
        device: for NumPy arrays, where: "cpu", "cuda", "cuda:1".

    Returns:
        (N, W', out), or (N, out, W').

    Raises:
        ArgumentError: an argument does not fit.
        UnsupportedError: the named formulation cannot compute this problem.
        BackendError: the backend is not there.

    >>> import numpy as np, xconv
    >>> x = np.arange(6, dtype="float32").reshape(1, 6, 1)
    >>> difference = np.array([-1, 1], dtype="float32").reshape(2, 1, 1)
    >>> xconv.conv1d(x, difference, padding="causal").ravel()
    array([0., 1., 1., 1., 1., 1.], dtype=float32)
    """
    options = stride, padding, padding_mode, dilation, groups, layout
    return run("conv1d", x, weight, bias, formulation, backend, device, options)


@unconverted
def conv2d_as_1d(
    x: T,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: int = 1,
    padding: str | int | tuple[int, int] = "valid",
    padding_mode: str = "zeros",
    dilation: int = 1,
    groups: int = 1,
    layout: str = "NWC",
    backend: str | None = None,
    device: str | None = None,
) -> T:
    """:func:`conv1d` computed by the framework's 2-D convolution on a height-one image: the same numbers.

    Args:
        x: (N, W, C), or (N, C, W) with ``layout="NCW"``.
        weight: (kernel, in/groups, out), or (out, in/groups, kernel) with ``layout="NCW"``.
        bias: (out,), or None.
        stride: elements between neighbouring outputs.
        padding: a name, an integer, or (low, high) in elements.
        padding_mode: what the pads hold.
        dilation: elements between neighbouring taps, from 1.
        groups: channel groups.
        layout: "NWC" or "NCW".
        backend: for NumPy arrays, who computes it; by default torch.
        device: for NumPy arrays, where.

    Returns:
        (N, W', out), or (N, out, W'), of the type and dtype of ``x``.

    Raises:
        ArgumentError: an argument does not fit.
        BackendError: the backend is not there.

    >>> import numpy as np, xconv
    >>> x, w = np.ones((1, 6, 2), "float32"), np.ones((3, 2, 4), "float32")
    >>> bool((xconv.conv2d_as_1d(x, w) == xconv.conv1d(x, w)).all())
    True
    """
    options = stride, padding, padding_mode, dilation, groups, layout
    return run("conv2d_as_1d", x, weight, bias, "conv2d", backend, device, options)


@unconverted
def conv1d_rows(
    x: T,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: int = 1,
    padding: str | int | tuple[int, int] = "valid",
    padding_mode: str = "zeros",
    dilation: int = 1,
    groups: int = 1,
    layout: str = "NHWC",
    formulation: str = "auto",
    backend: str | None = None,
    device: str | None = None,
) -> T:
    """1-D convolution along W of a feature map: the same kernel in each row, and nothing crosses rows.

    Args:
        x: (N, H, W, C), or (N, C, H, W) with ``layout="NCHW"``.
        weight: (kernel, in/groups, out), or (out, in/groups, kernel) with ``layout="NCHW"``.
        bias: (out,), or None.
        stride: elements between neighbouring outputs of a row.
        padding: of W: a name, an integer, or (low, high) in elements.
        padding_mode: what the pads hold.
        dilation: elements between neighbouring taps, from 1.
        groups: channel groups; as many as input channels make it depthwise.
        layout: "NHWC" or "NCHW".
        formulation: how to compute it: "auto", "local", or a name.
        backend: for NumPy arrays, who computes it; by default torch.
        device: for NumPy arrays, where.

    Returns:
        (N, H, W', out), or (N, out, H, W'), of the type and dtype of ``x``.

    Raises:
        ArgumentError: an argument does not fit.
        UnsupportedError: the named formulation cannot compute this problem.
        BackendError: the backend is not there.

    >>> import numpy as np, xconv
    >>> image = np.ones((1, 4, 6, 3), "float32")
    >>> xconv.conv1d_rows(image, np.ones((3, 3, 8), "float32"), padding="same").shape
    (1, 4, 6, 8)
    """
    options = stride, padding, padding_mode, dilation, groups, layout
    return run("conv1d_rows", x, weight, bias, formulation, backend, device, options)


@unconverted
def conv1d_columns(
    x: T,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: int = 1,
    padding: str | int | tuple[int, int] = "valid",
    padding_mode: str = "zeros",
    dilation: int = 1,
    groups: int = 1,
    layout: str = "NHWC",
    formulation: str = "auto",
    backend: str | None = None,
    device: str | None = None,
) -> T:
    """1-D convolution along H of a feature map: the same kernel in each column, and nothing crosses columns.

    Args:
        x: (N, H, W, C), or (N, C, H, W) with ``layout="NCHW"``.
        weight: (kernel, in/groups, out), or (out, in/groups, kernel) with ``layout="NCHW"``.
        bias: (out,), or None.
        stride: elements between neighbouring outputs of a column.
        padding: of H: a name, an integer, or (low, high) in elements.
        padding_mode: what the pads hold.
        dilation: elements between neighbouring taps, from 1.
        groups: channel groups; as many as input channels make it depthwise.
        layout: "NHWC" or "NCHW".
        formulation: how to compute it: "auto", "local", or a name.
        backend: for NumPy arrays, who computes it; by default torch.
        device: for NumPy arrays, where.

    Returns:
        (N, H', W, out), or (N, out, H', W), of the type and dtype of ``x``.

    Raises:
        ArgumentError: an argument does not fit.
        UnsupportedError: the named formulation cannot compute this problem.
        BackendError: the backend is not there.

    >>> import numpy as np, xconv
    >>> image = np.ones((1, 4, 6, 3), "float32")
    >>> xconv.conv1d_columns(image, np.ones((3, 3, 8), "float32")).shape
    (1, 2, 6, 8)
    """
    options = stride, padding, padding_mode, dilation, groups, layout
    return run("conv1d_columns", x, weight, bias, formulation, backend, device, options)


@unconverted
def spatially_separable_conv2d(
    x: T,
    weight_rows: Array,
    weight_columns: Array,
    bias: Array | None = None,
    *,
    stride: int | tuple[int, int] = 1,
    padding: Any = "valid",
    padding_mode: str = "zeros",
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    layout: str = "NHWC",
    formulation: str = "auto",
    backend: str | None = None,
    device: str | None = None,
) -> T:
    """Rows, then columns: :func:`conv1d_rows` to a middle width, then :func:`conv1d_columns`, and the bias once.

    Args:
        x: (N, H, W, C), or (N, C, H, W) with ``layout="NCHW"``.
        weight_rows: (kernel, in/groups, middle), or (middle, in/groups, kernel).
        weight_columns: (kernel, middle/groups, out), or (out, middle/groups, kernel).
        bias: (out,), or None.
        stride: an integer or (height, width); so are dilation and the parts of padding.
        padding: a name, an integer, or a pair (height, width) of names, integers and (low, high) pairs.
        padding_mode: what the pads hold.
        dilation: elements between neighbouring taps, from 1.
        groups: channel groups of both steps.
        layout: "NHWC" or "NCHW".
        formulation: how to compute both steps: "auto", "local", or a name.
        backend: for NumPy arrays, who computes it; by default torch.
        device: for NumPy arrays, where.

    Returns:
        (N, H', W', out), or (N, out, H', W'), of the type and dtype of ``x``.

    Raises:
        ArgumentError: an argument does not fit.
        UnsupportedError: the named formulation cannot compute one of the steps.
        BackendError: the backend is not there.

    >>> import numpy as np, xconv
    >>> image, box = np.ones((1, 5, 5, 1), "float32"), np.full((3, 1, 1), 1 / 3, "float32")
    >>> xconv.spatially_separable_conv2d(image, box, box).round(5)[0, :, :, 0]
    array([[1., 1., 1.],
           [1., 1., 1.],
           [1., 1., 1.]], dtype=float32)
    """
    options = stride, padding, padding_mode, dilation, groups, layout
    weights = weight_rows, weight_columns
    return run_steps("spatially_separable_conv2d", x, weights, bias, formulation, backend, device, options)


@unconverted
def conv2d(
    x: T,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: int | tuple[int, int] = 1,
    padding: Any = "valid",
    padding_mode: str = "zeros",
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    layout: str = "NHWC",
    backend: str | None = None,
    device: str | None = None,
) -> T:
    """The true 2-D convolution, which the others are compared with.

    Args:
        x: (N, H, W, C), or (N, C, H, W) with ``layout="NCHW"``.
        weight: (kh, kw, in/groups, out), or (out, in/groups, kh, kw) with ``layout="NCHW"``.
        bias: (out,), or None.
        stride: an integer or (height, width); so are dilation and the parts of padding.
        padding: a name, an integer, or a pair (height, width) of names, integers and (low, high) pairs.
        padding_mode: what the pads hold.
        dilation: elements between neighbouring taps, from 1.
        groups: channel groups.
        layout: "NHWC" or "NCHW".
        backend: for NumPy arrays, who computes it; by default torch.
        device: for NumPy arrays, where.

    Returns:
        (N, H', W', out), or (N, out, H', W'), of the type and dtype of ``x``.

    Raises:
        ArgumentError: an argument does not fit.
        BackendError: the backend is not there.

    >>> import numpy as np, xconv
    >>> image = np.ones((1, 5, 5, 1), "float32")
    >>> xconv.conv2d(image, np.ones((3, 3, 1, 1), "float32"), padding="same")[0, :2, :3, 0]
    array([[4., 6., 6.],
           [6., 9., 9.]], dtype=float32)
    """
    options = stride, padding, padding_mode, dilation, groups, layout
    return run("conv2d", x, weight, bias, "auto", backend, device, options)


@unconverted
def conv1d_transpose(
    x: T,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: int = 1,
    padding: str | int | tuple[int, int] = "valid",
    padding_mode: str = "zeros",
    output_padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    layout: str = "NWC",
    formulation: str = "auto",
    backend: str | None = None,
    device: str | None = None,
) -> T:
    """Transposed 1-D convolution (upsampling): the adjoint of :func:`conv1d` with respect to its input.

    Args:
        x: (N, W, C), or (N, C, W) with ``layout="NCW"``.
        weight: (kernel, out/groups, in), as Keras has it, or (in, out/groups, kernel), as torch has it.
        bias: (out,), or None.
        stride: outputs per input.
        padding: what is cropped. An integer or (low, high): those many elements of the full result, as in torch.
            ``"valid"`` crops nothing; ``"same"`` and ``"same_lower"`` leave ``W * stride`` elements, as in Keras;
            ``"causal"`` too, and crops the high end only, so that no output depends on a later input; ``"full"`` undoes
            the padding "full" of :func:`conv1d`.
        padding_mode: only "zeros".
        output_padding: elements added on the high side; below ``stride``.
        dilation: elements between neighbouring taps, from 1.
        groups: channel groups.
        layout: "NWC" or "NCW".
        formulation: how to compute it: "auto", "local", or a name.
        backend: for NumPy arrays, who computes it; by default torch.
        device: for NumPy arrays, where.

    Returns:
        (N, W', out) or (N, out, W'), with ``W' = (W - 1) * stride - low - high + (kernel - 1) * dilation + 1 +
        output_padding`` (Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning", section 4).

    Raises:
        ArgumentError: an argument does not fit.
        UnsupportedError: the named formulation cannot compute this problem.
        BackendError: the backend is not there.

    >>> import numpy as np, xconv
    >>> x = np.array([1, 2, 3], dtype="float32").reshape(1, 3, 1)
    >>> xconv.conv1d_transpose(x, np.ones((2, 1, 1), "float32"), stride=2).ravel()
    array([1., 1., 2., 2., 3., 3.], dtype=float32)
    """
    options = stride, padding, padding_mode, dilation, groups, layout, output_padding
    return run("conv1d_transpose", x, weight, bias, formulation, backend, device, options)
