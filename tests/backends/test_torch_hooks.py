"""torch: activation checkpointing, hooks on saved tensors, and what is raised while a call is computed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

import xconv
from tests.every_call import EVERY, arrays, ways
from xconv.calls import dispatch
from xconv.parity import Case

BACKEND = xconv.get_backend("torch")

Function = Callable[[Any], Any]

PLACES: dict[str, Callable[[Function], Function]] = {
    "last": lambda f: lambda x: f(x * 2),
    "first": lambda f: lambda x: f(x).relu() * 2,
    "middle": lambda f: lambda x: (f(x * 2).relu() * 3).sum(0),
    "alone": lambda f: f,
    "nested": lambda f: lambda x: checkpoint(lambda x: f(x * 2), x * 3, use_reentrant=False).relu(),
}
"""Where the operation is in what is computed again."""


@pytest.mark.parametrize("early", [True, False], ids=["early stop", "no early stop"])
@pytest.mark.parametrize("reentrant", [False, True], ids=["not reentrant", "reentrant"])
@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_activation_checkpointing(case: Case, reentrant: bool, early: bool) -> None:
    x, *rest = (leaf.requires_grad_() for leaf in arrays(BACKEND, case))
    for how in ways(BACKEND, case):
        for name, place in PLACES.items():
            function = place(lambda x, how=how: case.run(x, *rest, **how))  # type: ignore[misc]
            plain = function(x)
            wanted = torch.autograd.grad(plain.sum(), (x, *rest))
            for _ in range(2):
                for leaf in (x, *rest):
                    leaf.grad = None
                with nullcontext() if reentrant else set_checkpoint_early_stop(early):
                    y = checkpoint(function, x, use_reentrant=reentrant)
                    y.sum().backward()  # which a reentrant one asks for
                assert torch.equal(y, plain), (how, name)
                assert all(torch.equal(leaf.grad, grad) for leaf, grad in zip((x, *rest), wanted, strict=True)), how


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_what_is_saved_goes_through_the_caller_s_hooks(case: Case) -> None:
    leaves = [leaf.requires_grad_() for leaf in arrays(BACKEND, case)]
    for how in ways(BACKEND, case):
        wanted = torch.autograd.grad(case.run(*leaves, **how).sum(), leaves)
        for _ in range(2):
            packed: list[Any] = []

            def pack(tensor: Any, packed: list[Any] = packed) -> int:
                packed.append(tensor.detach().clone())
                return len(packed) - 1

            with saved_tensors_hooks(pack, lambda at, packed=packed: packed[at]):  # type: ignore[misc]
                y = case.run(*leaves, **how)
            assert packed
            assert all(map(torch.equal, torch.autograd.grad(y.sum(), leaves), wanted)), how
            with save_on_cpu():
                y = case.run(*leaves, **how)
            assert all(map(torch.equal, torch.autograd.grad(y.sum(), leaves), wanted)), how


@pytest.mark.parametrize("kind", [RuntimeError, MemoryError, ValueError, KeyError, KeyboardInterrupt])
@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_a_hook_that_raises_is_called_once(case: Case, kind: type[BaseException]) -> None:
    """First, and in a call that is kept; its exception is the very one that is caught."""
    leaves = [leaf.requires_grad_() for leaf in arrays(BACKEND, case)]
    for how in ways(BACKEND, case):
        dispatch.forget()
        for _ in range(3):
            raised = kind("from the hook")
            calls: list[int] = []

            def pack(tensor: Any, raised: BaseException = raised, calls: list[int] = calls) -> Any:
                calls.append(tensor.ndim)
                raise raised

            with pytest.raises(kind) as caught, saved_tensors_hooks(pack, lambda tensor: tensor):
                case.run(*leaves, **how)
            assert caught.value is raised, how
            assert len(calls) == 1, how
            case.run(*leaves, **how)


class At(TorchDispatchMode):
    """Counts torch's ops, and raises at one of them."""

    def __init__(self, number: int, raised: BaseException) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.number, self.raised, self.seen = number, raised, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen += 1
        if self.seen == self.number:
            raise self.raised
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_what_an_op_raises_arrives_and_nothing_is_computed_again(case: Case, trained: bool) -> None:
    given = [leaf.requires_grad_(trained) for leaf in arrays(BACKEND, case)]
    for how in ways(BACKEND, case):
        dispatch.forget()
        case.run(*given, **how)
        with At(0, RuntimeError()) as counted:
            case.run(*given, **how)
        for number in range(1, counted.seen + 1):
            raised = MemoryError("no memory left")
            with pytest.raises(MemoryError) as caught, At(number, raised) as mode:
                case.run(*given, **how)
            assert caught.value is raised, how
            assert mode.seen == number, how


def test_a_kept_call_that_fails_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the long way either: nothing is validated, planned or computed a second time."""
    x, weight, bias = arrays(BACKEND, EVERY[0])
    raised, calls = MemoryError("no memory left"), list[int]()

    def ready(*given: Any) -> Any:
        calls.append(len(given))
        raise raised

    monkeypatch.setattr(dispatch, "find", lambda _: ready)
    with pytest.raises(MemoryError) as caught:
        EVERY[0].run(x, weight, bias)
    assert caught.value is raised
    assert len(calls) == 1


def test_checkpointed_layers_train_as_they_do_without() -> None:
    """A network whose blocks are computed again, with a mask of a dropout that is drawn again."""
    torch.manual_seed(0)
    kept = torch.random.get_rng_state()
    from xconv_torch.layers import Conv1D

    block = torch.nn.Sequential(Conv1D(4, 8, 3, padding="same"), torch.nn.Dropout(0.5), Conv1D(8, 4, 3, padding=1))
    x = torch.randn(2, 4, 19, requires_grad=True)
    found = []
    for again in (False, True):
        torch.random.set_rng_state(kept)
        y = checkpoint(block, x, use_reentrant=False) if again else block(x)
        found.append(torch.autograd.grad(y.square().sum(), (x, *block.parameters())))
    assert all(map(torch.equal, *found))
