"""The mistakes of docs/misuse.md: each call raises the error that stands beside it, whatever the arrays are."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xconv
from xconv.core.backend import Backend

PAGE = Path(__file__).parent.parent / "docs" / "misuse.md"
ROWS = re.findall(r"^\| ([^|]+) \| `([^|]+)` \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
OPERATIONS = {name: getattr(xconv, name) for name in ("conv1d", "conv2d", "conv1d_rows", "conv1d_columns")}


def numpy_ones(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.ones(shape, dtype)


def raised(call: str, **makers: Callable[..., Any]) -> str:
    with pytest.raises(xconv.ArgumentError) as caught:
        eval(call, {**OPERATIONS, **makers})
    return str(caught.value)


def test_every_mistake_of_the_page_is_read() -> None:
    assert len(ROWS) == PAGE.read_text("utf-8").count("\n| ") - 1
    assert len(ROWS) >= 28


@pytest.mark.parametrize(
    ("call", "error"), [row[1:] for row in ROWS if "torch_" not in row[1]], ids=lambda text: text[:40]
)
def test_the_error_of_the_page_is_raised(backend: Backend, call: str, error: str) -> None:
    def tensor_ones(*shape: int, dtype: str = "float32") -> Any:
        return backend.from_numpy(numpy_ones(*shape, dtype=dtype), "cpu")

    assert raised(call, ones=numpy_ones) == error
    assert raised(call, ones=tensor_ones) == error


def test_two_frameworks(loaded: dict[str, Backend]) -> None:
    [(call, error)] = [row[1:] for row in ROWS if "torch_" in row[1]]
    makers = {
        f"{name}_ones": lambda *shape, owner=backend: owner.from_numpy(numpy_ones(*shape), "cpu")
        for name, backend in loaded.items()
    }
    if {"torch", "tensorflow"} <= set(loaded):
        assert raised(call, **makers) == error


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("conv1d(ones(2, 6, 100, 1), ones(8, 6, 5), layout='NCW')", "x[:, :, :, 0] has 3 axes"),
        ("conv1d(ones(2, 100, 1, 3), ones(5, 3, 8))", "x[:, :, 0] has 3 axes"),
        ("conv1d(ones(100), ones(8, 1, 5), layout='NCW')", "x[None, None]"),
        ("conv1d(ones(4, 100), ones(8, 1, 5), layout='NCW')", "without channels is x[:, None]"),
        ("conv1d(ones(2, 3, 20), ones(8, 3), layout='NCW')", "weight[..., None]"),
        ("conv1d(ones(2, 20, 1), ones(5))", "weight[:, None, None]"),
        ("conv2d(ones(12, 14), ones(3, 3, 1, 8))", "x[None, ..., None]"),
        ("conv2d(ones(2, 12, 14, 1), ones(3, 3))", "weight[:, :, None, None]"),
        (
            "conv2d(ones(2, 1, 1, 100), ones(8, 1, 3, 3), layout='NCHW')",
            "conv1d, without that axis and with a kernel (out",
        ),
        ("conv2d(ones(2, 16, 12, 14), ones(3, 3, 16, 8), layout='NCHW')", "as Keras has it"),
        ("conv1d(ones(2, 20, 4), ones(3, 6, 4))", "is it the weight of a Conv1DTranspose?"),
        ("conv2d(ones(2, 2, 14, 16), ones(3, 3, 16, 8))", "choose a kernel or an axis that fits."),
        ("conv1d_rows(ones(20, 12, 4, 3), ones(5, 3, 8))", "choose a kernel or an axis that fits."),
        ("conv1d(ones(2, 20, 3, dtype='uint8'), ones(5, 3, 8))", "/ 255"),
    ],
)
def test_other_words(call: str, words: str) -> None:
    assert words in raised(call, ones=numpy_ones)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("conv1d(ones(4, 4, 3), ones(5, 3, 8))", "nn.RNN"),  # a batch that is as short
        ("conv1d_rows(ones(20, 12, 4, 3), ones(5, 3, 8))", "nn.RNN"),  # a feature map
        ("conv1d(ones(2, 4, 3), ones(5, 3, 8))", "nn.Conv1d"),  # the other end is as long
        ("conv1d(ones(2, 20, 6), ones(3, 1, 6))", "Transpose"),
        ("conv1d(ones(2, 20, 6), ones(3, 3, 5))", "groups=2"),  # 5 outputs are not two groups
    ],
)
def test_no_hint_that_does_not_fit(call: str, words: str) -> None:
    assert words not in raised(call, ones=numpy_ones)


def test_what_the_page_says_of_the_rest() -> None:
    assert xconv.conv1d(numpy_ones(2, 100, 3), numpy_ones(8, 3, 5)).shape == (2, 93, 5)
    found = xconv.explain("conv2d", (2, 100, 1, 1), (3, 3, 1, 4), padding="same")
    assert round(found.useful_macs / found.macs, 2) == 0.33
