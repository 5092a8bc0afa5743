"""xconv's torch modules are modules like torch's own: state, first numbers, tools."""

from __future__ import annotations

import copy
import doctest
import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

import xconv
from xconv_torch import layers
from xconv_torch.layers import Conv1D, Conv1DColumns, Conv1DRows, Conv1DTranspose, Conv2DAs1D, SpatiallySeparableConv2D


def integers(*shape: int) -> torch.Tensor:
    return torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(sum(shape))).float()


def with_integers(layer: nn.Module) -> Any:
    """A layer whose sums are exact, so that the order in which they are computed cannot matter."""
    for parameter in layer.parameters():
        parameter.data = integers(*parameter.shape).to(parameter)
    return layer


OWN: list[tuple[type[nn.Module], type[nn.Module], tuple[Any, ...], tuple[Any, ...], dict[str, Any]]] = [
    # ours, torch's, what each is made of, and what both are
    (Conv1D, nn.Conv1d, (6, 4, 3), (6, 4, 3), {"padding": "same", "groups": 2, "padding_mode": "reflect"}),
    (Conv1D, nn.Conv1d, (6, 4, (3,)), (6, 4, (3,)), {"stride": (2,), "padding": (1,), "dilation": 2, "bias": False}),
    (Conv2DAs1D, nn.Conv1d, (6, 4, 3), (6, 4, 3), {"padding": "valid", "stride": 3}),
    (Conv1DTranspose, nn.ConvTranspose1d, (6, 4, 5), (6, 4, 5), {"stride": 3, "padding": 2, "output_padding": 1}),
]
ON_MAPS: list[tuple[type[nn.Module], tuple[int, int]]] = [(Conv1DRows, (1, 3)), (Conv1DColumns, (3, 1))]


@pytest.mark.parametrize(("ours", "theirs", "mine", "their", "options"), OWN, ids=str)
def test_torchs_own_layer_has_the_same_state_numbers_repr_and_attributes(
    ours: Any, theirs: Any, mine: Any, their: Any, options: dict[str, Any]
) -> None:
    torch.manual_seed(3)
    layer = ours(*mine, **options)
    torch.manual_seed(3)
    own = theirs(*their, **options)
    assert layer.state_dict().keys() == own.state_dict().keys()
    for name, value in own.state_dict().items():
        assert torch.equal(layer.state_dict()[name], value)
    assert layer.extra_repr() == own.extra_repr()
    for name in ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"):
        assert getattr(layer, name) == getattr(own, name)
    assert layer.padding_mode == own.padding_mode
    x = integers(2, 6, 20)
    own.load_state_dict(with_integers(layer).state_dict())
    assert torch.equal(layer(x), own(x))
    assert torch.equal(layer(x[0]), own(x[0]))  # without a batch axis


@pytest.mark.parametrize(("ours", "window"), ON_MAPS)
def test_conv2d_with_one_row_or_column_has_the_same_state(ours: Any, window: tuple[int, int]) -> None:
    torch.manual_seed(4)
    layer = ours(6, 4, 3, padding=1, groups=2)
    torch.manual_seed(4)
    pads = (window[0] // 2, window[1] // 2)
    own = nn.Conv2d(6, 4, window, padding=pads, groups=2)
    for name, value in own.state_dict().items():
        assert torch.equal(layer.state_dict()[name], value)
    own.load_state_dict(with_integers(layer).state_dict())
    x = integers(2, 6, 7, 9)
    assert torch.equal(layer(x), own(x))
    assert torch.equal(layer(x[1]), own(x[1]))


def test_the_separable_layer_is_two_of_torchs() -> None:
    torch.manual_seed(5)
    layer = SpatiallySeparableConv2D(6, 4, (3, 5), middle_channels=2, stride=(2, 1), groups=2)
    torch.manual_seed(5)
    rows = nn.Conv2d(6, 2, (1, 5), groups=2, bias=False)
    columns = nn.Conv2d(2, 4, (3, 1), (2, 1), groups=2)
    assert torch.equal(layer.weight_rows, rows.weight)
    assert torch.equal(layer.weight_columns, columns.weight)
    assert layer.bias is not None
    assert columns.bias is not None
    assert torch.equal(layer.bias, columns.bias)
    with_integers(layer)
    rows.load_state_dict({"weight": layer.weight_rows})
    columns.load_state_dict({"weight": layer.weight_columns, "bias": layer.bias})
    x = integers(2, 6, 9, 9)
    assert torch.equal(layer(x), columns(rows(x)))
    assert "6, 4, middle_channels=2, kernel_size=(3, 5), stride=(2, 1), groups=2" in repr(layer)


EVERY: list[tuple[nn.Module, tuple[int, ...]]] = [
    (with_integers(Conv1D(4, 6, 3, stride=2, padding="same", layout="NWC")), (2, 20, 4)),
    (with_integers(Conv2DAs1D(4, 6, 3, padding="causal")), (2, 4, 20)),
    (with_integers(Conv1DRows(4, 6, 3, padding="full", groups=2)), (2, 4, 18, 20)),
    (with_integers(Conv1DColumns(4, 6, 3, padding=1, padding_mode="circular", layout="NHWC")), (2, 18, 20, 4)),
    (with_integers(SpatiallySeparableConv2D(4, 6, 3, padding="same", middle_channels=2)), (2, 4, 18, 20)),
    (with_integers(Conv1DTranspose(4, 6, 3, stride=2, padding="same")), (2, 4, 20)),
]


@pytest.fixture(params=EVERY, ids=lambda pair: type(pair[0]).__name__)
def case(request: pytest.FixtureRequest) -> tuple[Any, torch.Tensor]:
    layer, shape = request.param
    return copy.deepcopy(layer), integers(*shape)


def test_copies_and_files_hold_the_same_layer(case: tuple[Any, torch.Tensor]) -> None:
    layer, x = case
    wanted = layer(x)
    twin = copy.deepcopy(layer)
    assert torch.equal(pickle.loads(pickle.dumps(layer))(x), wanted)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = layers.from_options(layer.options)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x), wanted)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(x), wanted)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    assert torch.equal(twin(x), wanted)  # a copy is its own


def test_export_with_unknown_batch_and_length(case: tuple[Any, torch.Tensor]) -> None:
    layer, x = case
    axis = 1 + layer.options.layout[1:].index("W")
    sizes = {0: torch.export.Dim("batch", min=2, max=64), axis: torch.export.Dim("length", min=16, max=4096)}
    program = torch.export.export(layer, (x,), dynamic_shapes={"x": sizes}).module()
    longer = integers(*(size + 13 if at == axis else 5 if at == 0 else size for at, size in enumerate(x.shape)))
    for other in (x, longer):
        assert torch.equal(program(other), layer(other))


def test_compiled_whole(case: tuple[Any, torch.Tensor]) -> None:
    layer, x = case
    torch.compiler.reset()
    compiled: Any = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for given in (x, x[:1]):
        assert torch.equal(compiled(given), layer(given))
    compiled(x).sum().backward()
    gradients = [parameter.grad for parameter in layer.parameters()]
    layer.zero_grad()
    layer(x).sum().backward()
    for gradient, parameter in zip(gradients, layer.parameters(), strict=True):
        assert gradient is not None
        assert torch.equal(gradient, parameter.grad)


def test_dtypes_and_devices_move_and_meta_has_shapes(case: tuple[Any, torch.Tensor]) -> None:
    layer, x = case
    y = layer(x)
    assert torch.equal(layer.double()(x.double()), y.double())
    assert torch.equal(layer.to(torch.bfloat16)(x.bfloat16()), y.bfloat16())  # summed in float32, rounded once
    on_meta = layers.from_options(layer.options, device="meta", dtype=torch.float64)
    assert {parameter.device.type for parameter in on_meta.parameters()} == {"meta"}
    assert on_meta(x.double().to("meta")).shape == y.shape
    there: Any = on_meta.to_empty(device="cpu")
    torch.manual_seed(6)
    there.reset_parameters()
    torch.manual_seed(6)
    again = layers.from_options(layer.options, dtype=torch.float64)
    for one, other in zip(there.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_hooks_and_parametrizations(case: tuple[Any, torch.Tensor]) -> None:
    layer, x = case[0], case[1].requires_grad_()
    y, seen = layer(x), []
    handle = layer.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    before = layer.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))
    backward = layer.register_full_backward_hook(lambda module, inputs, outputs: seen.append("backward"))
    layer(x).sum().backward()
    assert seen == [y.shape, "backward"]
    for each in (handle, before, backward):
        each.remove()

    class Twice(nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return 2 * weight

    for name in layer.options.kernels():
        parametrize.register_parametrization(layer, name, Twice())
    times = 2 ** len(layer.options.kernels())
    bias = layer.bias.reshape([-1 if axis == "C" else 1 for axis in layer.options.layout])
    assert torch.equal(layer(x), times * (y - bias) + bias)


def test_weight_norm_is_torchs() -> None:
    torch.manual_seed(7)
    own = parametrizations.weight_norm(nn.Conv1d(3, 5, 4, padding=1))
    layer = parametrizations.weight_norm(Conv1D(3, 5, 4, padding=1))
    layer.load_state_dict(own.state_dict())
    x = torch.randn(2, 3, 30)
    assert torch.equal(layer.weight, own.weight)
    assert torch.equal(layer(x), xconv.conv1d(x, own.weight, own.bias, padding=1, layout="NCW"))
    layer(x).sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


def test_functional_calls_of_an_ensemble() -> None:
    models = [with_integers(Conv1D(3, 4, 5, padding="causal")) for _ in range(2)]
    models[1].weight.data += 1
    parameters, buffers = torch.func.stack_module_state(models)
    x = integers(2, 3, 20)
    together = torch.func.vmap(lambda p, b: torch.func.functional_call(models[0], (p, b), (x,)))(parameters, buffers)
    assert torch.equal(together, torch.stack([model(x) for model in models]))


def test_autocast() -> None:
    layer, x = with_integers(Conv1D(3, 4, 5)), integers(2, 3, 20)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, layer(x).bfloat16())


def test_training_ends_where_torchs_own_layer_does() -> None:
    torch.manual_seed(8)
    own, x = nn.Conv1d(3, 4, 5, padding=2).double(), torch.randn(4, 3, 30, dtype=torch.float64)
    layer = Conv1D(3, 4, 5, padding=2, dtype=torch.float64, formulation="conv1d")
    layer.load_state_dict(own.state_dict())
    for model in (own, layer):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
    assert torch.equal(layer.weight, own.weight)


WORKER = """
import copy, sys, torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from xconv_torch.layers import Conv1D  # without xconv before it
rank, file = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
torch.manual_seed(rank)
model = torch.nn.Sequential(Conv1D(3, 4, 5, padding="same"), Conv1D(4, 2, 3))
for parameter in model.parameters():
    parameter.data = torch.randint(-2, 3, parameter.shape).double()
alone = copy.deepcopy(model)
model = DistributedDataParallel(model)  # what rank 0 has is given to all
x = torch.randint(-2, 3, (6, 3, 20), generator=torch.Generator().manual_seed(9)).double()
model(x[rank::2]).square().sum().backward()
if rank == 0:
    alone(x).square().sum().backward()
    for one, other in zip(model.parameters(), alone.parameters()):
        assert torch.equal(2 * one.grad, other.grad)  # the mean over two processes, of exact sums
    print("agree")
dist.destroy_process_group()
"""


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    """DistributedDataParallel over gloo: the gradients of the halves together are those of the whole."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(rank), str(tmp_path / "store")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert said[0][0].strip() == "agree"


def test_a_dtype_that_is_not_computed_is_refused() -> None:
    for dtype in (torch.int64, torch.complex64):
        with pytest.raises(xconv.ArgumentError, match=r"Conv1D: dtype: got .* expected one of float32"):
            Conv1D(3, 4, 5, dtype=dtype)


def test_options_cannot_be_changed_behind_the_layer() -> None:
    layer = Conv1D(3, 4, 5)
    with pytest.raises(AttributeError):
        layer.stride = (2,)  # type: ignore[misc]


def test_a_models_layers_are_seen_as_they_compute() -> None:
    layer = Conv1D(3, 8, 5, stride=2, padding="same").double()
    [call] = layer.calls((2, 3, 101))
    assert call.result_shape((2, 3, 101)) == tuple(layer(torch.ones(2, 3, 101).double()).shape)
    assert call.problem.dtype == "float64"
    assert xconv.plan(call, backend="torch").problem == call.problem
    model = nn.Sequential(layer, nn.Conv1d(8, 4, 3), Conv2DAs1D(4, 2, 3, padding="causal")).double()
    found = xconv.convolutions(model, (2, 3, 101))
    assert [(each.operation, each.problem.length) for each in found] == [
        ("conv1d", 101),
        ("conv1d", 51),
        ("conv2d_as_1d", 49),
    ]
    assert found[0] == call
    separable = SpatiallySeparableConv2D(3, 4, 3)
    assert xconv.convolutions(separable, (2, 3, 9, 9)) == separable.calls((2, 3, 9, 9))
    assert xconv.convolutions(separable, (3, 9, 9)) == separable.calls((1, 3, 9, 9))


def test_repr_says_what_torch_has_no_word_for() -> None:
    layer = Conv1D(3, 4, 5, padding=(2, 0), layout="NWC", formulation="taps")
    assert repr(layer) == ("Conv1D(3, 4, kernel_size=(5,), stride=(1,), padding=(2, 0), layout=NWC, formulation=taps)")


def test_the_examples_in_the_documentation() -> None:
    assert doctest.testmod(layers).failed == 0
