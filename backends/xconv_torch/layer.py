"""What the convolution layers have in common: parameters, first numbers and ``repr`` as torch's own have them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import init

from xconv.call import Call
from xconv.errors import ArgumentError
from xconv.models.layers import LayerOptions
from xconv.problem import DTYPES
from xconv_torch.formulations import FORMULATIONS

Device = torch.device | str | int | None


class Convolution(nn.Module):
    """A layer of some options: its parameters, and what they have in common with torch's."""

    layer: ClassVar[str]
    function: ClassVar[Callable[..., Any]]
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
        self._rank = len(options.layout)
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
        if x.ndim == self._rank - 1:
            return self._convolved(x.unsqueeze(0)).squeeze(0)
        return self._convolved(x)

    def _convolved(self, x: Tensor) -> Tensor:
        result: Tensor = type(self).function(x, self._kernel(self.weight), self.bias, **self._how)
        return result

    def _kernel(self, weight: Tensor, flat: int | None = None) -> Tensor:
        """A weight as the operation takes it: without its axis of size 1, and in the order of the layout."""
        kernel = weight if flat is None else weight.squeeze(flat)
        return kernel.permute(2, 1, 0) if self.options.channels_last else kernel

    def calls(self, x_shape: Sequence[int]) -> list[Call]:
        """What it computes on an input of a shape, with the batch: for ``xconv.plan``, ``xconv.cost`` and the like.

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


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
