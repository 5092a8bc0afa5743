"""A new length of a known layer: no compiler, and a schedule in few steps, however long kernel and signal are."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import FrameType

import pytest

from tests.test_direct_order import LAYERS
from xconv.core.problem import DIRECTIONS, ConvProblem
from xconv.direct.grouping import AcrossLines
from xconv.direct.phases import DirectionGeometry
from xconv.direct.prepared import Computation, prepare
from xconv.direct.processor import detect_processor
from xconv.direct.tiled import TiledMethod

STEPS, OF_PHASE = 700, 20
"""Calls of functions that may be made, NumPy's among them, and those for each sweep; one takes 0.3 us."""

LONG = {
    **LAYERS,
    "long kernel": ConvProblem(2, 1, 1, 8, 40, kernel=500, padding=(250, 249)),
    "large stride": ConvProblem(2, 1, 1, 8, 40, kernel=33, stride=32, padding=(16, 16)),
    "large stride, depthwise": ConvProblem(2, 1, 1, 40, 40, kernel=33, stride=16, groups=40, padding=(16, 16)),
}


def steps(direction: str, problem: ConvProblem) -> int:
    """Calls that it takes to prepare it."""
    found = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal found
        found += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        prepare(direction, problem, 1)
    finally:
        sys.setprofile(before)
    return found


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", LONG)
def test_a_new_length_takes_few_steps(name: str, direction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known, new = (replace(LONG[name], length=length) for length in (6400, 6432))
    prepare(direction, known, 1)
    monkeypatch.setattr("xconv.direct.functions.compile_object", None)  # nothing is compiled
    assert steps(direction, new) < STEPS + OF_PHASE * len(DirectionGeometry(direction, new).phases)


def test_tiles_that_go_from_line_to_line_are_those_of_every_length() -> None:
    for problem in (LAYERS["dense, short lines"], LAYERS["one output, short lines"]):
        tiles = []
        for length in (6, 7, 8, 9):
            method = Computation("forward", replace(problem, length=length), 1, detect_processor()).method
            assert isinstance(method, TiledMethod)
            if isinstance(method.grouping, AcrossLines):
                tiles.append(tuple(method.build_schedule(1).tiles))
        assert len(tiles) > 2
        assert len(set(tiles)) == 1


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", LONG)
def test_pairs_of_a_place_and_a_tap_are_counted_without_places(name: str, direction: str) -> None:
    problem = LONG[name]
    geometry = DirectionGeometry(direction, problem)
    assert geometry.count_products() == geometry.find_runs(each_place=True).taps.sum()
    runs = geometry.find_runs()
    assert geometry.count_products() == (runs.taps * runs.places).sum()
    assert geometry.places == geometry.lines * geometry.inner * runs.places.sum()
