"""torch: compiled sums on tensors' own memory, where nobody must see what is done to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.autograd import gradcheck, gradgradcheck
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.flop_counter import FlopCounterMode

import xconv
from xconv.calls import dispatch
from xconv.core.problem import ConvProblem
from xconv.direct.order import (
    CHANNELS_FIRST,
    OTHER,
    REVERSED,
    ROW_MAJOR,
    from_channels_last,
    order_kernel,
    to_channels_last,
)
from xconv.direct.scratch import release, take_scratch
from xconv.direct.team import OpenMP
from xconv.planning import wisdom
from xconv_torch.formulations.direct import DIRECT

GENERATOR = torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    dispatch.forget()
    yield
    dispatch.forget()


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which directions were computed in memory."""
    from xconv.direct import formulation

    found: list[str] = []
    right = formulation._prepare

    def spy(direction: str, problem: ConvProblem, dtype: str, threads: int) -> Any:
        found.append(direction)
        return right(direction, problem, dtype, threads)

    monkeypatch.setattr(formulation, "_prepare", spy)
    return found


def integers(*shape: int) -> torch.Tensor:
    return torch.randint(-3, 4, shape, generator=GENERATOR).float()


def direct(x: torch.Tensor, w: torch.Tensor, **options: Any) -> torch.Tensor:
    y: torch.Tensor = xconv.conv1d(x, w, formulation="direct", **options)
    return y


def test_every_gradient_of_a_named_direct_is_computed_in_memory(computed: list[str]) -> None:
    x, w = integers(2, 40, 16).requires_grad_(), integers(3, 16, 24).requires_grad_()
    y = direct(x, w, padding=1)
    dx, dw = torch.autograd.grad(y.square().sum(), (x, w), create_graph=True)
    assert computed == ["forward", "input_gradient", "weight_gradient"]
    own = xconv.conv1d(x, w, padding=1, formulation="conv2d")
    for mine, other in zip((dx, dw), torch.autograd.grad(own.square().sum(), (x, w)), strict=True):
        assert torch.equal(mine, other)
    torch.autograd.grad(dx.sum() + dw.sum(), (x, w))
    assert computed[3:]


def test_gradients_of_every_order() -> None:
    def function(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> Any:
        return xconv.conv1d(x, w, b, stride=2, padding=(2, 1), formulation="direct")

    inputs = [torch.randn(*s, dtype=torch.float64).requires_grad_() for s in ((2, 11, 3), (4, 3, 9), (9,))]
    assert gradcheck(function, inputs, check_forward_ad=True)
    assert gradgradcheck(function, inputs)


def _counted(x: torch.Tensor, w: torch.Tensor) -> Any:
    with FlopCounterMode(display=False) as counter:
        y = direct(x, w)
    assert counter.get_total_flops() == 2 * 2 * 38 * 3 * 16 * 24
    return y


WATCHED = {
    "vmap": lambda x, w: torch.func.vmap(lambda one: direct(one[None], w)[0])(x),
    "grad of func": lambda x, w: torch.func.grad(lambda x: direct(x, w).sum())(x),
    "jvp": lambda x, w: torch.func.jvp(lambda x: direct(x, w), (x,), (x,))[1],
    "make_fx": lambda x, w: make_fx(lambda x, w: direct(x, w) * 1)(x, w)(x, w),
    "a counter": _counted,
}


@pytest.mark.parametrize("how", WATCHED)
def test_who_looks_on_sees_the_framework_s_own_op(how: str, computed: list[str]) -> None:
    x, w = integers(2, 40, 16), integers(3, 16, 24)
    got = WATCHED[how](x, w)
    assert not computed
    wanted = direct(x, w)
    if "grad" in how:
        leaf = x.clone().requires_grad_()
        [wanted] = torch.autograd.grad(direct(leaf, w).sum(), leaf)
    assert torch.equal(got, wanted)


def test_tensors_without_memory_have_shapes() -> None:
    x, w = torch.empty(2, 40, 16, device="meta"), torch.empty(3, 16, 24, device="meta")
    assert direct(x, w).shape == (2, 38, 24)
    with FakeTensorMode() as mode:
        fake = direct(mode.from_tensor(integers(2, 40, 16)), mode.from_tensor(integers(3, 16, 24)))
    assert fake.shape == (2, 38, 24)


@pytest.mark.parametrize("shape", [(3, 20, 7), (2, 33, 40), (2, 6, 5, 18), (1, 40, 17), (3, 200, 37), (5, 7, 600)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_in_another_order_are_turned(shape: tuple[int, ...], dtype: str) -> None:
    memory = DIRECT.memory
    first = torch.randn(*shape).to(getattr(torch, dtype))
    last = first.movedim(1, -1)
    assert memory.memory_order(first) is ROW_MAJOR
    assert memory.memory_order(last) is CHANNELS_FIRST
    holder, address = to_channels_last(memory, last, dtype, "test")
    assert np.array_equal(np.asarray(holder).reshape(last.shape), last.numpy())
    back = from_channels_last(memory, address, last, last.shape, dtype)
    assert torch.equal(back, last)
    assert back.movedim(-1, 1).is_contiguous()
    if len(shape) == 3:
        reversed_axes = first.permute(2, 1, 0)
        assert memory.memory_order(reversed_axes) is REVERSED
        assert np.array_equal(order_kernel(memory, reversed_axes, dtype), reversed_axes.numpy())
    assert memory.memory_order(first[:, 1:, ::2]) is OTHER


def test_what_is_kept_is_bounded_and_released(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xconv.direct.scratch.KEPT_BYTES", 1000)
    release()
    small, large = take_scratch("small", 200, "float32"), take_scratch("large", 400, "float32")
    assert take_scratch("small", 100, "float32").ctypes.data == small.ctypes.data
    large[:] = 1
    other = take_scratch("large", 400, "float32")
    other[:] = 2
    assert large[0] == 1  # nothing else holds it
    release()
    small[:] = 1
    take_scratch("small", 200, "float32")[:] = 2
    assert small[0] == 1


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("layout", ["NWC", "NCW"])
def test_results_lie_in_memory_as_the_input_did(layout: str, trained: bool, computed: list[str]) -> None:
    x, w = integers(2, 40, 16), integers(3, 16, 24)
    if layout == "NCW":
        x, w = x.transpose(1, 2).contiguous(), w.permute(2, 1, 0).contiguous()
    x.requires_grad_(trained)
    for _ in range(2):
        y = direct(x, w, layout=layout)
        assert y.is_contiguous()
    assert torch.equal(y, xconv.conv1d(x, w, layout=layout, formulation="conv1d"))
    assert computed
    if layout == "NCW":  # as torch's own ops do for channels-last memory
        last = x.transpose(1, 2).contiguous().transpose(1, 2)
        for _ in range(2):
            assert direct(last, w, layout=layout).stride(1) == 1
        assert torch.equal(direct(last, w, layout=layout), y)


def test_the_threads_are_torch_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xconv.direct.prepared.THREAD_PRODUCTS", 1)
    before = torch.get_num_threads()
    assert isinstance(DIRECT.memory.team, OpenMP)
    x, w = integers(5, 64, 16), integers(3, 16, 24)
    wanted = xconv.conv1d(x, w, formulation="conv2d")
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            assert torch.equal(direct(x, w), wanted)
    finally:
        torch.set_num_threads(before)


def test_a_packed_weight_is_a_copy() -> None:
    x, w, b = integers(1, 300, 16), integers(3, 16, 200), integers(200)
    problem = xconv.resolve("conv1d", x.shape, w.shape)
    key = wisdom.Key(*xconv.get_backend("torch").here("cpu"), "NWC", "forward", problem.problem)
    wisdom.remember(key, wisdom.Entry("direct", 1e-3, 2e-3, "2026-11-29"))
    plan = xconv.plan(problem, backend="torch")
    wisdom.forget()
    assert plan.choices["forward"].formulation == "direct"
    fixed = plan.pack(w)
    wanted = xconv.conv1d(x, w, b, formulation="conv2d")
    w.zero_()
    assert torch.equal(fixed(x, b), wanted)
    assert torch.equal(fixed(x), wanted - b)


def test_a_bias_of_transposed_small_groups_is_added_to_their_sums() -> None:
    """Packed, planned, called and called again."""
    x, w, b = integers(2, 20, 12), integers(3, 2, 12), integers(8)
    call = xconv.resolve("conv1d_transpose", x.shape, w.shape, groups=4, stride=2)
    key = wisdom.Key(*xconv.get_backend("torch").here("cpu"), "NWC", "input_gradient", call.problem)
    wisdom.remember(key, wisdom.Entry("direct", 1e-3, 2e-3, "2026-11-29"))
    plan = xconv.plan(call, backend="torch")
    assert plan.choices["input_gradient"].formulation == "direct"
    found = [
        plan.pack(w)(x, b),
        plan(x, w, b),
        *(xconv.conv1d_transpose(x, w, b, groups=4, stride=2) for _ in range(2)),
    ]
    wisdom.forget()
    wanted = xconv.conv1d_transpose(x, w, b, groups=4, stride=2, formulation="conv1d")
    assert all(torch.equal(each, wanted) for each in found)


def test_views_are_read_in_place_or_copied(computed: list[str]) -> None:
    base, w = integers(2, 41, 17), integers(3, 16, 24)
    for x in (base[:, 1:, 1:], base.flip(1)[:, :40, :16], integers(2, 16, 40).transpose(1, 2)):
        assert torch.equal(direct(x, w), xconv.conv1d(x.contiguous(), w, formulation="conv2d"))
    strided = integers(24, 16, 3).permute(2, 1, 0)
    assert torch.equal(direct(base[:, :, :16], strided), xconv.conv1d(base[:, :, :16], strided, formulation="conv2d"))
    assert computed


def test_in_numpy_out_numpy() -> None:
    x, w = np.ones((1, 30, 8), "float32"), np.ones((3, 8, 16), "float32")
    assert xconv.conv1d(x, w, formulation="direct").sum() == 28 * 16 * 24
