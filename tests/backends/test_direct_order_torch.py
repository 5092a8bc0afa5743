"""torch: the same bits of `direct` for every way to ask for the same sums."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import xconv
from tests.test_direct_order import LAYERS, numbers, piece
from xconv.calls import dispatch
from xconv.core.call import Call
from xconv.core.problem import ConvProblem
from xconv.planning import wisdom

KINDS = [name for name, problem in LAYERS.items() if problem.inner == 1]


@pytest.fixture(autouse=True)
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads have something to do in small problems too; nothing is kept from other tests."""
    monkeypatch.setattr("xconv.direct.prepared.THREAD_PRODUCTS", 0.01)
    dispatch.forget()
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    dispatch.forget()


def operands(problem: ConvProblem) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x of (batch, length, channels), a kernel and a bias."""
    shapes = (problem.outer, problem.length, problem.in_channels), problem.weight_shape, (problem.out_channels,)
    x, w, b = (torch.from_numpy(numbers(shape, problem.dtype, seed)) for seed, shape in enumerate(shapes))
    return x, w, b


def options(problem: ConvProblem) -> dict[str, Any]:
    names = "stride", "dilation", "groups", "padding"
    return {name: getattr(problem, name) for name in names} | {"formulation": "direct"}


def bits(array: torch.Tensor) -> torch.Tensor:
    return array.detach().contiguous().view(torch.int32)


def assert_same_bits(got: torch.Tensor, wanted: torch.Tensor) -> None:
    assert torch.equal(bits(got), bits(wanted))


def gradients(
    x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None, how: dict[str, Any]
) -> tuple[torch.Tensor, ...]:
    """The result, and the gradients for x and the kernel of a sum of its products with random numbers."""
    x, w = x.detach().requires_grad_(), w.detach().requires_grad_()
    y = xconv.conv1d(x, w, b, **how)
    dy = torch.from_numpy(numbers((y.shape[0], *y.shape[1:]), "float32", 7))
    return y, *torch.autograd.grad(y, (x, w), dy)


@pytest.mark.parametrize("name", KINDS)
def test_every_way_to_ask_gives_the_same_bits(name: str) -> None:
    """First and later calls, trained or not, threads, layouts, views; a bias is added to finished sums."""
    problem = LAYERS[name]
    (x, w, b), how = operands(problem), options(problem)
    torch.set_num_threads(1)
    whole, dx, dw = gradients(x, w, None, how)
    with_bias = whole.detach() + b
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        for _ in range(3):
            assert_same_bits(xconv.conv1d(x, w, **how), whole)
            assert_same_bits(xconv.conv1d(x, w, b, **how), with_bias)
            y, of_x, of_w = gradients(x, w, b, how)
            assert_same_bits(y, with_bias)
            assert_same_bits(of_x, dx)
            if threads == 1:
                assert_same_bits(of_w, dw)
    torch.set_num_threads(1)
    assert_same_bits(xconv.conv1d(x, w, torch.zeros_like(b), **how), whole)
    first, kernel = x.transpose(1, 2).contiguous(), w.permute(2, 1, 0).contiguous()
    assert_same_bits(xconv.conv1d(first, kernel, layout="NCW", **how).transpose(1, 2), whole)
    wide = torch.full((2 * x.shape[0], x.shape[1] + 3, 3 * x.shape[2]), float("nan"))
    views = wide[1::2, 2:-1, 1::3], x.flip(1).flip(1), x.transpose(0, 1).contiguous().transpose(0, 1)
    views[0].copy_(x)
    for view in views:
        for _ in range(2):
            assert_same_bits(xconv.conv1d(view, w, b, **how), with_bias)
            assert_same_bits(gradients(view, w, None, how)[1], dx)
    assert_same_bits(xconv.conv1d(x[:1], w, b, **how), with_bias[:1])


@pytest.mark.parametrize("name", KINDS)
def test_pieces_of_a_signal(name: str) -> None:
    problem = LAYERS[name]
    (x, w, b), length = operands(problem), problem.output_length
    whole = xconv.conv1d(x, w, b, **options(problem))
    for start, stop in ((0, 1), (0, length // 3), (length // 3, length // 3 + 1), (length // 3, length)):
        found = piece("forward", problem, start, stop)
        assert found is not None
        part, begin, end = found
        assert_same_bits(xconv.conv1d(x[:, begin:end], w, b, **options(part)), whole[:, start:stop])


def planned(call: Call, layout: str) -> xconv.Plan:
    key = wisdom.Key(*xconv.get_backend("torch").here("cpu"), layout, call.direction, call.problem)
    wisdom.remember(key, wisdom.Entry("direct", 1e-3, 2e-3, "2026-11-29"))
    found = xconv.plan(call, backend="torch")
    wisdom.forget()
    assert found.choices[call.direction].formulation == "direct"
    return found


@pytest.mark.parametrize("name", KINDS)
def test_plans_and_packed_weights(name: str) -> None:
    problem = LAYERS[name]
    (x, w, b), how = operands(problem), options(problem)
    del how["formulation"]
    plan = planned(xconv.resolve("conv1d", tuple(x.shape), tuple(w.shape), **how), "NWC")
    wanted = xconv.conv1d(x, w, b, **how, formulation="direct")
    for found in (plan(x, w, b), plan.pack(w)(x, b), plan.pack(w)(x) + b):
        assert_same_bits(found, wanted)


@pytest.mark.parametrize("layout", ["NWC", "NCW"])
@pytest.mark.parametrize("channels", [(64, 32), (16, 1), (3, 40), (1, 1)])
def test_transposed_layers(channels: tuple[int, int], layout: str) -> None:
    """Whose bias is added to an input gradient."""
    inputs, outputs = channels
    x, b = (torch.from_numpy(numbers(shape, "float32", 0)) for shape in ((2, 30, inputs), (outputs,)))
    w = torch.from_numpy(numbers((16, outputs, inputs), "float32", 1))
    if layout == "NCW":
        x, w = x.transpose(1, 2).contiguous(), w.permute(2, 1, 0).contiguous()
    how: dict[str, Any] = {"stride": 8, "layout": layout, "formulation": "direct"}
    plain = xconv.conv1d_transpose(x, w, **how)
    wanted = plain + (b if layout == "NWC" else b[:, None])
    leaf = x.clone().requires_grad_()
    for _ in range(3):
        assert_same_bits(xconv.conv1d_transpose(x, w, b, **how), wanted)
        assert_same_bits(xconv.conv1d_transpose(leaf, w, b, **how), wanted)
