"""Options as callers hold them: NumPy's integers, tuples of one, anything with ``__index__``; and what is refused."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import xconv
from tests.every_call import EVERY, along_one_axis, arrays, operands
from xconv.calls import dispatch
from xconv.core.backend import Backend
from xconv.core.call import resolve_all
from xconv.core.cost import cost
from xconv.core.operations import layers
from xconv.core.problem import ConvProblem
from xconv.models.layers import LayerOptions
from xconv.parity import Case


class Index:
    """An integer of somebody else's."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Number(enum.IntEnum):
    """Integers with names."""

    ZERO, ONE, TWO, THREE, FOUR, FIVE, SIX = range(7)


INTEGERS: dict[str, Callable[[int], Any]] = {
    "NumPy's": np.int16,
    "NumPy's, unsigned": np.uint8,
    "an array without axes": np.array,
    "a class with __index__": Index,
    "an enumeration": Number,
}
ALONE: dict[str, Callable[[Any], Any]] = {
    "a tuple of one": lambda value: (value,),
    "a list of one": lambda value: [value],
    "a tuple of one of NumPy's": lambda value: (np.int64(value),),
}


def given(case: Case, integer: Callable[[int], Any], alone: Callable[[Any], Any] | None = None) -> dict[str, Any]:
    """The options of a case with every integer in another form; and, along one axis, alone in its tuple."""

    def other(value: Any) -> Any:
        return type(value)(map(other, value)) if isinstance(value, tuple) else integer(value)

    options = {name: other(value) for name, value in {**case.options, "groups": 1}.items()}
    if alone is not None:
        options |= {
            name: alone(case.options[name]) for name in ("stride", "dilation", "output_padding") if name in case.options
        }
        options["padding"] = alone(2)
    return options


def plain(case: Case, alone: bool = False) -> dict[str, Any]:
    return {**case.options, "groups": 1, **({"padding": 2} if alone else {})}


def passed(options: dict[str, Any]) -> tuple[Any, ...]:
    """The options as the first operation hands them on: the rest at their defaults."""
    every = {"stride": 1, "padding": "valid", "padding_mode": "zeros", "dilation": 1, "groups": 1, "layout": "NWC"}
    return tuple({**every, **options}.values())


def called(case: Case, options: dict[str, Any], *tensors: Any) -> Any:
    return getattr(xconv, case.operation)(*tensors, layout=case.layout, **options)


@pytest.mark.parametrize("form", INTEGERS)
@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_integers_of_any_type_are_the_same_integers(backend: Backend, case: Case, form: str) -> None:
    tensors, options = arrays(backend, case), given(case, INTEGERS[form])
    wanted = backend.to_numpy(called(case, plain(case), *tensors))
    for _ in range(2):  # and when it was called before
        assert np.array_equal(backend.to_numpy(called(case, options, *tensors)), wanted)


@pytest.mark.parametrize("form", ALONE)
@pytest.mark.parametrize("case", [*filter(along_one_axis, EVERY)], ids=lambda case: case.name)
def test_a_tuple_of_one_is_its_integer_where_one_axis_slides(backend: Backend, case: Case, form: str) -> None:
    tensors, options = arrays(backend, case), given(case, int, ALONE[form])
    wanted = backend.to_numpy(called(case, plain(case, alone=True), *tensors))
    for _ in range(2):
        assert np.array_equal(backend.to_numpy(called(case, options, *tensors)), wanted)


@pytest.mark.parametrize("form", INTEGERS | ALONE)
@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_what_is_told_of_a_call_is_the_same(case: Case, form: str) -> None:
    """What it resolves to, its plan, its cost and its explanation, for sizes and options in any form."""
    if form in ALONE and not along_one_axis(case):
        return  # refused below
    options, same = given(case, INTEGERS.get(form, int), ALONE.get(form)), plain(case, form in ALONE)
    shapes, out = case.passed_shapes(), 3 if case.operation == "conv1d_transpose" else 5
    numbers: list[Any] = [tuple(map(np.int64, shape)) for shape in shapes]
    wanted = resolve_all(case.operation, shapes[0], shapes[1:], (out,), layout=case.layout, **same)
    found = resolve_all(case.operation, numbers[0], numbers[1:], [np.int64(out)], layout=case.layout, **options)
    assert found == wanted
    assert [*map(repr, found)] == [*map(repr, wanted)]  # np.int64(2) is equal to 2, and printed otherwise
    assert [*map(cost, found)] == [*map(cost, wanted)]
    explained = xconv.explain(case.operation, *numbers, layout=case.layout, **options)
    assert str(explained) == str(xconv.explain(case.operation, *shapes, layout=case.layout, **same))
    assert json.loads(explained.to_json())["output_shape"] == list(explained.output_shape)
    if case.operation in ("conv1d_rows", "conv1d_columns"):
        assert explained.as_operation("conv2d").output_shape[0] == case.x_shape[0]


def test_a_problem_holds_integers() -> None:
    sizes = {"outer": 2, "length": 17, "inner": 1, "in_channels": 4, "out_channels": 8, "kernel": 3, "groups": 2}
    given: dict[str, Any] = {**sizes, "padding": (1, 0)}
    numbers: dict[str, Any] = {name: np.int32(size) for name, size in sizes.items()}
    problem, other = ConvProblem(**given), ConvProblem(**{**numbers, "padding": (np.int8(1), np.int8(0))})
    assert repr(other) == repr(problem)
    assert other.is_static


@pytest.mark.parametrize("form", INTEGERS | ALONE)
@pytest.mark.parametrize("layer", layers())
def test_layers_take_them_too(layer: str, form: str) -> None:
    separable = layer.startswith("Spatially")
    if form in ALONE and separable:
        return
    layout = "NCHW" if separable or layer in ("Conv1DRows", "Conv1DColumns") else "NCW"
    wanted = LayerOptions(layer, 4, 6, 3, layout, stride=2, padding=1, dilation=2, groups=2)
    one: Callable[[int], Any] = INTEGERS.get(form, int)
    step: Callable[[int], Any] = ALONE.get(form, one)
    found = LayerOptions(
        layer, one(4), one(6), step(3), layout, stride=step(2), padding=step(1), dilation=step(2), groups=one(2)
    )
    assert repr(found) == repr(wanted)


STEPS: list[Any] = [
    True,
    np.True_,
    1.0,
    np.float32(2),
    "1",
    None,
    (),
    (True,),
    ((1,),),
    (1, 2, 3),
    np.array([1, 2]),
    {},
]
OPTIONS = ("stride", "dilation", "groups", "output_padding", "padding")


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_everything_else_is_refused_as_it_was_the_first_time(backend: Backend, case: Case, name: str) -> None:
    """Also where an equal integer was taken before: 1, 1.0 and True are equal, and hash alike."""
    if name == "output_padding" and case.operation != "conv1d_transpose":
        return
    tensors = arrays(backend, case)
    wrong: list[Any] = [*STEPS, *([(1,), [2]] if name == "groups" or not along_one_axis(case) else [])]
    wrong = [value for value in wrong if not (name == "padding" and isinstance(value, tuple) and value == (1, 2))]
    said: list[list[str]] = []
    dispatch.forget()
    for _ in range(2):
        said.append([])
        for value in wrong:
            with pytest.raises(xconv.ArgumentError) as caught:
                called(case, {**plain(case), name: value}, *tensors)
            assert caught.value.argument == name, value
            said[-1].append(str(caught.value))
        for value in (1, 2):
            if name in ("dilation", "padding") or (name == "stride" and case.operation != "conv1d_transpose"):
                called(case, {**plain(case), name: value}, *tensors)
        called(case, plain(case), *tensors)
    assert said[0] == said[1]


UNHASHABLE: list[Any] = [["x"], {"x": 1}, {"x"}, np.array(["x", "y"]), np.array("x"), 1, 1.5, True, b"NWC", object()]
NAMES = ("formulation", "layout", "padding_mode", "padding", "backend", "device")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_what_is_no_name_is_refused_as_it_was_the_first_time(backend: Backend, case: Case, name: str) -> None:
    if name == "formulation" and case.operation in ("conv2d", "conv2d_as_1d"):
        return
    tensors, said = arrays(backend, case), list[list[str]]()
    wrong = [value for value in UNHASHABLE if not (name == "padding" and value is UNHASHABLE[5])]
    dispatch.forget()
    for _ in range(2):
        said.append([])
        for value in wrong:
            with pytest.raises(xconv.ArgumentError) as caught:
                getattr(xconv, case.operation)(*tensors, **{"layout": case.layout, **plain(case), name: value})
            assert caught.value.argument == name, value
            said[-1].append(str(caught.value))
        called(case, plain(case), *tensors)
    assert said[0] == said[1]


@pytest.mark.parametrize("name", ["backend", "device"])
@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_numpy_arrays_go_to_a_backend_that_is_named(case: Case, name: str) -> None:
    numbers = [array.astype("float32") for array in operands(case)]
    for value in (["torch"], 1, True, np.array(["torch", "jax"])):
        with pytest.raises(xconv.ArgumentError) as caught:
            called(case, {name: value}, *numbers)
        assert caught.value.argument == name


def test_a_pair_for_one_axis_and_a_single_for_two_are_said_to_be_what_they_are() -> None:
    with pytest.raises(xconv.ArgumentError, match=r"stride: got \(1, 2\), expected an integer"):
        xconv.resolve("conv1d", (1, 9, 1), (3, 1, 1), stride=(1, 2))
    for name in ("stride", "dilation", "padding"):
        options: dict[str, Any] = {name: (2,)}
        with pytest.raises(xconv.ArgumentError, match=rf"{name}: got \(2,\), .* pass 2 for both axes"):
            xconv.resolve("conv2d", (1, 9, 9, 1), (3, 3, 1, 1), **options)


def test_a_pair_of_tuples_of_one_pads_each_axis_alike() -> None:
    [found] = resolve_all("conv2d", (1, 9, 9, 1), [(3, 3, 1, 1)], padding=((1,), (2,)))
    assert found.vertical is not None
    assert (found.vertical.padding, found.problem.padding) == ((1, 1), (2, 2))


def test_kept_calls_take_integers_of_any_type_for_what_they_are(backend: Backend) -> None:
    """They are not looked at in full each time."""
    case = EVERY[0]
    x, weight, bias = arrays(backend, case)
    called(case, plain(case), x, weight, bias)
    key = dispatch.key("conv1d", x, weight, bias, "auto", None, None, passed(plain(case)))
    if key is not None:
        for integer in INTEGERS.values():
            assert dispatch.key("conv1d", x, weight, bias, "auto", None, None, passed(given(case, integer))) == key
        wrong = {**plain(case), "stride": True}
        assert dispatch.key("conv1d", x, weight, bias, "auto", None, None, passed(wrong)) is None


def test_a_tuple_of_one_is_the_layer_s_own() -> None:
    """Of a layer of options, with a name for each side."""
    options = LayerOptions("Conv1D", 3, 4, (5,), "NCW", stride=(2,), padding=(1,))  # type: ignore[arg-type]
    assert (options.kernel_size, options.stride, options.padding) == (5, 2, 1)
    assert replace(options, padding=(1, 2)).padding == (1, 2)
    with pytest.raises(xconv.ArgumentError, match="groups"):
        LayerOptions("Conv1D", 4, 4, 5, "NCW", groups=(2,))  # type: ignore[arg-type]
