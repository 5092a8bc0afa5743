"""What is PyTorch's own: compile, export, func, autocast, subclasses, memory."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, cast

import numpy as np
import pytest
import torch

import xconv
from xconv.core import reference
from xconv.core.backend import Backend
from xconv.core.call import resolve_all
from xconv.parity import Case, cases, check
from xconv.testing.suite.extended import first_of

F = torch.nn.functional
torch_cases = [case for case in cases("default")[3::90] if 0 not in case.x_shape]


def signal(*shape: int, dtype: Any = torch.float32) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)), dtype=dtype)


def integers(*shape: int) -> Any:
    return torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(sum(shape))).float()


OPTIONS: list[dict[str, Any]] = [
    {},
    {"stride": 2, "padding": "same"},
    {"dilation": 3, "padding": "causal"},
    {"groups": 2, "padding": (2, 1), "padding_mode": "reflect"},
]


@pytest.mark.parametrize("case", first_of(torch_cases, 4), ids=lambda case: case.name)
def test_inductor_agrees(case: Case) -> None:
    assert all(f.ok for f in check(xconv.get_backend("torch"), case, kind="integers", mode="inductor"))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dynamic", [False, True])
def test_compile_without_a_call_before(options: dict[str, Any], dynamic: bool) -> None:
    """Whole graphs, static and dynamic, for lengths that were not traced."""
    torch.compiler.reset()
    weight = integers(3, 4 // options.get("groups", 1), 6)

    def function(x: Any) -> Any:
        return xconv.conv1d(x, weight, **options)

    compiled = torch.compile(function, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    # a static graph is traced again for each size
    for n, length in ((2, 20), (3, 20), (3, 31), (5, 44)) if dynamic else ((2, 20), (3, 31)):
        x = integers(n, length, 4)  # a compiled call may be computed another way
        assert torch.equal(compiled(x), function(x))


def test_the_first_call_of_a_process_may_be_compiled() -> None:
    code = (
        "import torch, xconv\n"
        "f = lambda x, w: xconv.conv1d(x, w, stride=2, padding='same')\n"
        "f = torch.compile(f, fullgraph=True, backend='eager')\n"
        "print(*f(torch.ones(2, 20, 3), torch.ones(5, 3, 8)).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["2", "10", "8"], done.stderr


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_export(options: dict[str, Any]) -> None:
    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(signal(3, 4 // options.get("groups", 1), 6))

        def forward(self, x: Any) -> Any:
            return xconv.conv1d(x, self.weight, **options)

    layer = Layer()
    batch, length = torch.export.Dim("batch", min=2, max=64), torch.export.Dim("length", min=16, max=4096)
    program = torch.export.export(layer, (signal(2, 20, 4),), dynamic_shapes={"x": {0: batch, 1: length}})
    for shape in ((2, 20, 4), (7, 33, 4)):
        torch.testing.assert_close(program.module()(signal(*shape)), layer(signal(*shape)))


EXPORTED = [
    ("conv1d", (2, 20, 4), ((3, 4, 6),), {"stride": 2, "padding": "same", "padding_mode": "replicate"}),
    ("conv1d", (2, 20, 4), ((3, 4, 6),), {"stride": 2, "padding": "same", "padding_mode": "circular"}),
    ("conv1d_rows", (2, 20, 18, 4), ((3, 4, 6),), {"stride": 2, "padding": "same"}),
    ("conv1d_columns", (2, 20, 18, 4), ((3, 4, 6),), {"stride": 2, "padding": "same_lower"}),
    ("conv2d", (2, 20, 18, 4), ((3, 3, 4, 6),), {"stride": 2, "padding": "same"}),
    ("spatially_separable_conv2d", (2, 20, 18, 4), ((3, 4, 2), (3, 2, 6)), {"stride": 2, "padding": "same"}),
    ("conv1d_transpose", (2, 20, 4), ((3, 6, 4),), {"stride": 2, "padding": "same"}),
    ("conv2d_as_1d", (2, 20, 4), ((3, 4, 6),), {"padding": "causal"}),
]


@pytest.mark.parametrize(("operation", "x_shape", "weight_shapes", "options"), EXPORTED, ids=str)
def test_every_operation_exports_with_unknown_batch_and_length(
    operation: str, x_shape: tuple[int, ...], weight_shapes: tuple[tuple[int, ...], ...], options: dict[str, Any]
) -> None:
    weights = [integers(*shape) for shape in weight_shapes]

    class Layer(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return getattr(xconv, operation)(x, *weights, **options)

    sizes = {0: torch.export.Dim("batch", min=2, max=64), 1: torch.export.Dim("length", min=16, max=4096)}
    program = torch.export.export(Layer(), (integers(*x_shape),), dynamic_shapes={"x": sizes}).module()
    for n, length in ((2, 20), (5, 33)):
        x = integers(n, length, *x_shape[2:])
        wanted = x.numpy()
        for call, weight in zip(resolve_all(operation, x.shape, weight_shapes, **options), weights, strict=True):
            wanted = reference.apply(call, wanted, weight)
        assert np.array_equal(program(x), wanted)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_func_vmap_and_grad(options: dict[str, Any]) -> None:
    x, w = signal(3, 2, 20, 4, dtype=torch.float64), signal(3, 4 // options.get("groups", 1), 6, dtype=torch.float64)

    def function(x: Any, w: Any) -> Any:
        return xconv.conv1d(x, w, **options)

    together = torch.func.vmap(function, in_dims=(0, None))(x, w)
    apart = torch.stack([function(one, w) for one in x])
    torch.testing.assert_close(together, apart)
    per_sample = torch.func.vmap(torch.func.grad(lambda w, x: function(x, w).square().sum()), in_dims=(None, 0))(w, x)
    for gradient, one in zip(per_sample, x, strict=True):
        leaf = w.clone().requires_grad_()
        function(one, leaf).square().sum().backward()
        torch.testing.assert_close(gradient, leaf.grad)
    tangent = torch.func.jvp(lambda x: function(x, w), (x[0],), (x[1],))[1]
    torch.testing.assert_close(tangent, function(x[1], w))


def test_gradcheck() -> None:
    x, w, b = signal(2, 9, 4, dtype=torch.float64), signal(3, 2, 6, dtype=torch.float64), signal(6, dtype=torch.float64)
    inputs = tuple(t.requires_grad_() for t in (x, w, b))

    def function(x: Any, w: Any, b: Any) -> Any:
        return xconv.conv1d(x, w, b, stride=2, dilation=2, groups=2, padding="causal", padding_mode="replicate")

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_against_the_frameworks_own_layers() -> None:
    x = signal(2, 6, 40)
    layer = torch.nn.Conv1d(6, 8, 5, stride=2, padding=3, dilation=2, groups=2)
    mine = xconv.conv1d(x, layer.weight, layer.bias, stride=2, padding=3, dilation=2, groups=2, layout="NCW")
    assert torch.equal(mine, layer(x))
    up = torch.nn.ConvTranspose1d(6, 8, 5, stride=3, padding=2, output_padding=1, dilation=2, groups=2)
    mine = xconv.conv1d_transpose(
        x, up.weight, up.bias, stride=3, padding=2, output_padding=1, dilation=2, groups=2, layout="NCW"
    )
    torch.testing.assert_close(mine, up(x))
    image = torch.nn.Conv2d(6, 4, (3, 2), stride=(2, 1), padding=(1, 2))
    mine = xconv.conv2d(signal(2, 6, 9, 10), image.weight, image.bias, stride=(2, 1), padding=(1, 2), layout="NCHW")
    assert torch.equal(mine, image(signal(2, 6, 9, 10)))


@pytest.mark.parametrize("operation", ["conv1d", "conv1d_transpose"])
def test_autocast_rounds_once(operation: str) -> None:
    x, w, b = signal(2, 200, 8).bfloat16(), signal(9, 8, 8).bfloat16(), signal(8).bfloat16()
    function = getattr(xconv, operation)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = function(x.float(), w.float(), b.float())
    assert torch.equal(narrow, function(x, w, b))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_hessian_vector_products_with_one_output_channel(dtype: Any) -> None:
    x, w = signal(2, 9, 4, dtype=dtype), signal(3, 4, 1, dtype=dtype)
    functional: Any = torch.autograd.functional
    _, product = functional.hvp(lambda w: xconv.conv1d(x, w).pow(2).sum(), w, w)
    # of a quadratic form, the Hessian times w is the gradient at w
    torch.testing.assert_close(product, torch.func.grad(lambda w: xconv.conv1d(x, w).pow(2).sum())(w))


def test_zero_length_transpose_keeps_the_bias_in_the_graph() -> None:
    b = torch.ones(3, requires_grad=True)
    y = xconv.conv1d_transpose(torch.zeros(1, 0, 2), torch.ones(5, 3, 2), b)
    y.sum().backward()
    assert torch.equal(y, torch.ones(1, 4, 3))
    assert b.grad is not None
    assert torch.equal(b.grad, torch.full((3,), 4.0))


def test_tensors_that_cannot_be_convolved() -> None:
    with pytest.raises(xconv.ArgumentError, match="sparse"):
        xconv.conv1d(signal(1, 5, 1).to_sparse(), signal(2, 1, 1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast(dtype: Any) -> None:
    x, w, b = signal(2, 20, 4).requires_grad_(), signal(3, 4, 6).requires_grad_(), signal(6)
    with torch.autocast("cpu", dtype=dtype):
        y = xconv.conv1d(x, w, b)
        mixed = xconv.conv1d(x.to(dtype), w, b)
    assert y.dtype == mixed.dtype == dtype
    y.float().sum().backward()
    assert x.grad.dtype == w.grad.dtype == torch.float32


def test_parameters_devices_and_views() -> None:
    x, w = signal(20, 2, 4).transpose(0, 1), torch.nn.Parameter(signal(3, 4, 6))
    y = xconv.conv1d(x, w)
    assert type(y) is torch.Tensor
    assert y.requires_grad
    assert torch.equal(y, xconv.conv1d(x.contiguous(), w))
    with pytest.raises(xconv.ArgumentError, match="weight: got an array on meta, expected one on cpu"):
        xconv.conv1d(x, w.to("meta"))
    assert xconv.conv1d(x.to("meta"), w.to("meta")).shape == (2, 18, 6)


def test_channels_first_is_contiguous_and_not_copied() -> None:
    y = xconv.conv1d(signal(2, 4, 20), signal(6, 4, 3), layout="NCW")
    assert y.is_contiguous()
    image = signal(2, 12, 14, 4)
    assert xconv.conv1d_columns(image, signal(3, 4, 6)).is_contiguous()


def test_no_grad_and_inference_mode() -> None:
    x, w = signal(2, 20, 4), signal(3, 4, 6).requires_grad_()
    with torch.no_grad():
        assert not xconv.conv1d(x, w).requires_grad
    with torch.inference_mode():
        assert xconv.conv1d(x, w).is_inference()


def test_numpy_input_and_output_share_no_autograd() -> None:
    y = xconv.conv1d(np.ones((1, 5, 1), "float32"), np.ones((2, 1, 1), "float32"))
    assert isinstance(y, np.ndarray)


def test_exact_float32_restores_what_was_set() -> None:
    backend, cudnn = xconv.get_backend("torch"), cast(Any, torch.backends.cudnn)
    before = cudnn.conv.fp32_precision
    with backend.exact_float32():
        assert cudnn.conv.fp32_precision == "ieee"
    assert cudnn.conv.fp32_precision == before


def test_bad_arguments_are_named_in_compiled_code_too() -> None:
    compiled = torch.compile(lambda x, w: xconv.conv1d(x, w, stride=0), backend="eager")
    with pytest.raises(xconv.ArgumentError, match="stride: got 0"):
        compiled(signal(2, 9, 3), signal(3, 3, 4))


def test_the_doctor_reads_the_new_switches_only() -> None:
    """Once one is set, an old one cannot be read; in a process of its own, since switches are the process's."""
    code = """
import torch
torch.backends.cudnn.conv.fp32_precision = "ieee"
from xconv.doctor.on_torch import settings
try:
    print("old:", torch.backends.cudnn.allow_tf32)
except RuntimeError:
    print("cannot be read,", settings()["fp32_precision cudnn.conv"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "cannot be read, ieee"


def test_a_kernel_in_no_order_of_memory_has_a_gradient(backend: Backend) -> None:
    """torch's fallback refuses it: "slow_conv2d: grad_weight must be contiguous"; drawn at random and shrunk."""
    options = {"padding": "same", "padding_mode": "reflect"}
    case = Case("rolled", "conv1d_columns", (1, 2, 1, 2), ((2, 2, 2),), options, layout="NHWC")
    found = check(backend, case, kind="integers", formulation="conv2d", view="rolled")
    assert [str(finding) for finding in found if not finding.ok] == []


FIRST = """
import sys
import numpy as np, torch, xconv
x, w, b = torch.ones(2, 20, 3), torch.ones(5, 3, 8, requires_grad=True), torch.ones(8, requires_grad=True)
for formulation in ("auto", "direct"):
    xconv.conv1d(x, w, b, formulation=formulation).sum().backward()
xconv.conv1d_transpose(x, torch.ones(5, 8, 3))
with torch.no_grad():
    xconv.conv1d(x.movedim(1, 2), w.movedim(0, 2).movedim(0, 1), b, layout="NCW")
    xconv.conv1d(np.ones((2, 20, 3), "float32"), np.ones((5, 3, 8), "float32"), backend="torch")
print(xconv.plan(xconv.resolve("conv1d", (2, 20, 3), (5, 3, 8)), backend="torch").choices["forward"].formulation)
heavy = {"torch._dynamo", "torch._inductor", "torch.fx.experimental.symbolic_shapes", "sympy"}
print(sorted(heavy & set(sys.modules)))
f = torch.compile(lambda x, w: xconv.conv1d(x, w, stride=2, padding="same"), fullgraph=True, backend="eager")
print(torch.equal(f(x, w), xconv.conv1d(x, w, stride=2, padding="same")), "torch._dynamo" in sys.modules)
"""


def test_torch_s_compiler_is_imported_when_it_is_at_work() -> None:
    """It takes a second; eager calls, with gradients and plans, go without."""
    done = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=False, timeout=200)
    assert done.stdout.splitlines()[1:] == ["[]", "True True"], (done.stdout, done.stderr[-2000:])


EMPTY: list[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ("conv1d", (2, 0, 3), (3, 3, 2), {"padding": 3}),
    ("conv1d", (2, 0, 3), (3, 3, 2), {"padding": 3, "stride": 2}),
    ("conv1d_rows", (2, 3, 0, 3), (3, 3, 2), {"padding": (3, 2)}),
    ("conv1d_columns", (2, 0, 3, 3), (3, 3, 2), {"padding": 3}),
    ("conv2d", (2, 0, 3, 3), (3, 3, 3, 2), {"padding": 3}),
    ("conv1d_transpose", (0, 5, 3), (3, 2, 3), {"stride": 2}),
]


@pytest.mark.parametrize(("operation", "x_shape", "weight_shape", "options"), EMPTY, ids=str)
def test_empty_signals_under_func_and_export(
    operation: str, x_shape: tuple[int, ...], weight_shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    x, w, b = torch.zeros(x_shape), torch.ones(weight_shape), torch.tensor([1.0, 2.0])

    class Module(torch.nn.Module):
        def forward(self, *arrays: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = getattr(xconv, operation)(*arrays, **options)
            return y

    run = Module()
    call = xconv.resolve(operation, x_shape, weight_shape, **options)
    wanted = b.expand(call.result_shape(x_shape))
    assert torch.equal(torch.func.vmap(run, (0, None, None))(x[None], w, b)[0], wanted)
    assert torch.equal(torch.func.vmap(run, (None, 0, None))(x, w[None], b)[0], wanted)
    dx, dw = torch.func.grad(lambda x, w: run(x, w, b).sum(), (0, 1))(x, w)
    assert dx.shape == x.shape
    assert torch.equal(dw, torch.zeros_like(w))
    assert torch.equal(torch.export.export(run, (x, w, b)).module()(x, w, b), wanted)
