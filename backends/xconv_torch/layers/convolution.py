"""What the convolution layers have in common: parameters, first numbers and ``repr`` as torch's own have them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import init

import xconv
from xconv.core.call import Call
from xconv.core.layouts import LAYOUTS
from xconv.core.problem import DTYPES
from xconv.models.layers import LayerOptions
from xconv.system.errors import ArgumentError, UnsupportedError
from xconv_torch.formulations import FORMULATIONS

Device = torch.device | str | int | None


class Convolution(nn.Module):
    """A layer of some options: its parameters, and what they have in common with torch's."""

    layer: ClassVar[str]
    weight: Tensor
    bias: Tensor | None

    def __init__(self, device: Device, dtype: torch.dtype | None, **given: Any) -> None:
        options = LayerOptions(self.layer, **given)
        options.check_formulation([form.name for form in FORMULATIONS])
        name = str(torch.get_default_dtype() if dtype is None else dtype).removeprefix("torch.")
        if name not in DTYPES:
            raise ArgumentError(self.layer, "dtype", name, f"one of {', '.join(DTYPES)}")
        super().__init__()
        self.options = options
        self._how = {**options.arguments, **options.how}
        self._weight_names, self._flat = tuple(options.kernels()), options.flat
        for name, shape in options.weight_shapes(channels_last=False).items():
            setattr(self, name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        if options.bias:
            self.bias = nn.Parameter(torch.empty(options.out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and bias anew, as torch's layers of these shapes do, and in their order."""
        for name in self.options.kernels():
            init.kaiming_uniform_(getattr(self, name), a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.options.fan_in)
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """The operation of ``x``, with or without a batch axis."""
        weights = [getattr(self, name) for name in self._weight_names]
        return convolved(x, weights, self._flat, self.bias, self.options.operation, self._how)

    def __prepare_scriptable__(self) -> Convolution:
        """What ``torch.jit.script`` asks a module for."""
        raise UnsupportedError(
            f"{self.layer}: torch.jit.script compiles a module's text, and which of torch's ops it calls depends on "
            "its options. Hint: torch.jit.trace(layer, x), also for a part of what is scripted; or torch.export."
        )

    def calls(self, x_shape: Sequence[int]) -> list[Call]:
        """What it computes on an input of a shape, with the batch: for ``xconv.plan``, ``xconv.cost`` and the like.

        Args:
            x_shape: of the input with the batch, in the layer's layout.

        Returns:
            One call, or of the separable layer the rows' and the columns'.

        Raises:
            ArgumentError: the input does not fit.
        """
        dtype = next(self.parameters()).dtype
        return self.options.calls(x_shape, str(dtype).removeprefix("torch."))

    @property
    def in_channels(self) -> int:
        """Channels of the input."""
        assert self.options.in_channels is not None
        return self.options.in_channels

    @property
    def out_channels(self) -> int:
        """Channels of the result."""
        return self.options.out_channels

    @property
    def groups(self) -> int:
        """Channel groups."""
        return self.options.groups

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """Taps, as a tuple."""
        return _tuple(self.options.kernel_size)

    @property
    def stride(self) -> tuple[int, ...]:
        """Elements between outputs, as a tuple."""
        return _tuple(self.options.stride)

    @property
    def dilation(self) -> tuple[int, ...]:
        """Elements between taps, as a tuple."""
        return _tuple(self.options.dilation)

    @property
    def padding(self) -> Any:
        """A name, or a tuple: of one integer for both sides, or of what was given."""
        return self.options.padding if isinstance(self.options.padding, str) else _tuple(self.options.padding)

    @property
    def padding_mode(self) -> str:
        """What the pads hold."""
        return self.options.padding_mode

    def extra_repr(self) -> str:
        """The options that are not the defaults, as torch writes them."""
        options = self.options
        said = [f"{options.in_channels}, {options.out_channels}"]
        if options.middle_channels is not None:
            said.append(f"middle_channels={options.middle_channels}")
        said += [f"kernel_size={self.kernel_size}", f"stride={self.stride}"]
        said += [] if self.padding == (0,) else [f"padding={self.padding}"]
        said += [] if set(self.dilation) == {1} else [f"dilation={self.dilation}"]
        said += [f"output_padding={_tuple(options.output_padding)}"] if options.output_padding else []
        said += [] if options.groups == 1 else [f"groups={options.groups}"]
        said += [] if options.bias else ["bias=False"]
        said += [] if options.padding_mode == "zeros" else [f"padding_mode={options.padding_mode}"]
        said += [f"layout={options.layout}"] if options.channels_last else []
        said += [] if options.formulation == "auto" else [f"formulation={options.formulation}"]
        return ", ".join(said)


@torch.fx.wrap
def convolved(
    x: Tensor,
    weights: Sequence[Tensor],
    flat: Sequence[int | None],
    bias: Tensor | None,
    operation: str,
    options: dict[str, Any],
) -> Tensor:
    """What a layer computes. To ``torch.fx`` it is one function, whose shapes are looked at when its graph runs.

    The weights are taken without their axes of size 1 (``flat``), and in the order of the layout.
    """
    where = LAYOUTS[options["layout"]]
    kernels = [w if axis is None else w.squeeze(axis) for w, axis in zip(weights, flat, strict=True)]
    if where.channels_last:
        kernels = [kernel.permute(2, 1, 0) for kernel in kernels]
    function: Callable[..., Tensor] = getattr(xconv, operation)
    if x.ndim == len(where.name) - 1:
        return function(x.unsqueeze(0), *kernels, bias, **options).squeeze(0)
    return function(x, *kernels, bias, **options)


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
