"""Measure formulations, fit the estimates of a backend, and report how well they choose.

    python benchmarks/estimates.py measure torch random.jsonl --geometries 500 --seed 1
    python benchmarks/estimates.py measure torch layers.jsonl --catalogue
    python benchmarks/estimates.py report torch random.jsonl layers.jsonl
    python benchmarks/estimates.py fit torch random.jsonl layers.jsonl
    python benchmarks/estimates.py tune torch --geometries 100 --seed 2

CPU time at one thread, the formulations of a geometry in turns. The report is of geometries that the fit has not seen:
each sixth of them is estimated by a fit to the others. ``tune`` reports the same of what :func:`xconv.tune` takes, by
times that were measured after it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from scipy.optimize import nnls
from tabulate import tabulate
from tqdm import tqdm

import xconv
from xconv.bench import catalogue
from xconv.core.backend import Backend
from xconv.core.formulation import Formulation
from xconv.core.problem import DIRECTIONS, ConvProblem
from xconv.core.target import CHANNELS_FIRST, CHANNELS_LAST, Target
from xconv.planning.choices import preferred
from xconv.planning.estimate import ANY, Model, kind, quantities
from xconv.planning.one_formulation import by_formulation
from xconv.system.files import write_whole

PACKAGES = Path(__file__).parents[1] / "backends"
MOST_MACS, MOST_BYTES = 1.5e9, 40e6
FOLDS = 6
BLOCK_S = 0.01
RIDGE, HELD = 0.05, 2.0
"""How much seconds per unit are held to nothing, and those of a kind of problem to those of all kinds."""

IMPORTANCE = 6
"""How many random geometries a real layer counts for in the fit."""

Call: TypeAlias = Callable[[], None]


@dataclass(frozen=True)
class Geometry:
    """A problem, the rank and axis of its arrays, and the caller's layout."""

    name: str
    problem: ConvProblem
    batch: tuple[int, ...]
    axis: int
    layout: str

    def shape(self, length: int, channels: int) -> tuple[int, ...]:
        return (*self.batch[: self.axis], length, *self.batch[self.axis :], channels)


@dataclass(frozen=True)
class Timing:
    """Seconds of each formulation in one direction of a problem."""

    name: str
    layout: str
    direction: str
    problem: ConvProblem
    seconds: dict[str, float]


def geometries(count: int, seed: int, large: bool = False) -> Iterator[Geometry]:
    """Random ones, as wide as layers are: sizes are spread evenly over their logarithms."""
    macs, smallest, most = (6e9, 40e6, 200e6) if large else (MOST_MACS, 0, MOST_BYTES)
    rng = random.Random(seed)

    def size(low: float, high: float) -> int:
        return round(2 ** rng.uniform(math.log2(low), math.log2(high)))

    done = 0
    while done < count:
        what = rng.choice(["dense"] * 5 + ["one"] * 2 + ["depthwise"] * 3 + ["grouped"] * 2 + ["single"])
        kernel = rng.choice([1, 2, 3, 3, 3, 4, 5, 5, 7, 7, 9, 11, 15, 17, 25, 31, 41, 64, 100, 128, 251, 512])
        stride = min(rng.choice([1] * 7 + [2, 2, 3, 4, 5, 8]), kernel)
        dilation = 1 if kernel > 41 else rng.choice([1] * 7 + [2, 4, 8, 16, 64])
        if dilation > 1 and rng.random() < 0.85:
            stride = 1
        groups, inputs, outputs = 1, size(2, 768), size(2, 768)
        if what == "dense" and rng.random() < 0.5:
            inputs, outputs = (max(8, channels // 8 * 8) for channels in (inputs, outputs))
        elif what == "one":
            inputs = 1
        elif what == "single":
            inputs = outputs = 1
        elif what == "depthwise":
            groups = inputs = size(2, 1024)
            outputs = inputs * rng.choice([1, 1, 1, 1, 2])
        elif what == "grouped":
            groups = rng.choice([2, 4, 8, 16, 32])
            inputs, outputs = groups * size(2, 48), groups * size(2, 48)
        form = rng.choice(["signal"] * 4 + ["rows", "columns"])
        if form == "signal":
            batch: tuple[int, ...] = (rng.choice([1, 1, 1, 2, 8, 16, 64, 128]),)
            length, axis, outer, inner = size(32, 65536), 1, batch[0], 1
        else:
            samples, height, width = rng.choice([1, 1, 4, 16]), size(8, 256), size(8, 256)
            rows = form == "rows"
            batch, axis = (samples, height if rows else width), 2 if rows else 1
            length, outer, inner = (width, samples * height, 1) if rows else (height, samples, width)
        reach = (kernel - 1) * dilation
        padding = rng.choice([(0, 0), (reach // 2, reach - reach // 2), (reach // 2, reach - reach // 2), (reach, 0)])
        layout = rng.choice(["NWC", "NWC", "NCW"] if len(batch) == 1 else ["NHWC", "NHWC", "NCHW"])
        if reach + 1 > length or not smallest <= outer * length * inner * max(inputs, outputs) * 4 <= most:
            continue
        problem = ConvProblem(outer, length, inner, inputs, outputs, kernel, stride, dilation, groups, padding)
        if 1e4 < problem.macs < macs:
            yield Geometry(f"{'large-' * large}{seed}-{done}", problem, batch, axis, layout)
            done += 1


def layers() -> Iterator[Geometry]:
    """The catalogue's, in both layouts; the true conv2d is no problem of one axis."""
    for layer in catalogue("default"):
        if layer.row.is_2d:
            continue
        shape = layer.x_shape
        for call in layer.calls:
            batch = tuple(size for axis, size in enumerate(shape[:-1]) if axis != call.axis)
            for layout in ("NWC", "NCW") if len(shape) == 3 else ("NHWC", "NCHW"):
                if call.problem.macs < 100 * MOST_MACS:
                    yield Geometry(layer.name, call.problem, batch, call.axis, layout)
            shape = call.result_shape(shape)


def measure(backend: Backend, geometry: Geometry) -> Iterator[Timing]:
    """The times of all formulations in each direction."""
    problem, rng = geometry.problem, np.random.default_rng(0)
    first, rank = not geometry.layout.endswith("C"), len(geometry.batch) + 2
    to_first = (0, rank - 1, *range(1, rank - 1))
    to_last = (0, *range(2, rank), 1)

    def array(length: int, channels: int) -> Any:
        values = rng.standard_normal(geometry.shape(length, channels), "float32")
        if not first:
            return backend.from_numpy(values, "cpu")
        # in memory as a channels-first caller has it
        return backend.permute(backend.from_numpy(np.ascontiguousarray(values.transpose(to_first)), "cpu"), to_last)

    x, dy = array(problem.length, problem.in_channels), array(problem.output_length, problem.out_channels)
    w = rng.standard_normal(problem.weight_shape, "float32")
    weight = backend.from_numpy(w, "cpu")
    if first:
        weight = backend.permute(backend.from_numpy(np.ascontiguousarray(w.transpose(2, 1, 0)), "cpu"), (2, 1, 0))
    like = backend.permute(x, to_first) if first else x
    operands = {"forward": (x, weight), "input_gradient": (dy, weight), "weight_gradient": (x, dy)}
    for direction in DIRECTIONS:
        calls: dict[str, Call] = {}
        for form in backend.formulations:
            if form.unsupported(direction, problem) is None and form.workspace(direction, problem) <= 1 << 31:

                def call(form: Formulation = form, direction: str = direction) -> None:
                    how = by_formulation(backend, form)
                    y = backend.run(how, direction, problem, geometry.axis, *operands[direction])
                    if direction != "weight_gradient":
                        backend.settle(backend.permute(y, to_first) if first else y, like)

                calls[form.name] = call
        yield Timing(geometry.name, geometry.layout, direction, problem, clocked(calls))


def clocked(calls: Mapping[str, Call]) -> dict[str, float]:
    """CPU seconds of each call: all take turns, so that a slow spell of the machine is as slow for each of them.

    One that is over four times as slow as the fastest, or takes over a second, is timed once.
    """
    for call in calls.values():
        call()
    once = {name: _cpu(call, 1) for name, call in calls.items()}
    fastest = min(once.values())
    close = {name: taken for name, taken in once.items() if taken <= max(4 * fastest, 2e-3) and taken <= 1}
    if not close:
        return once
    rounds = np.array(
        [
            [_cpu(calls[name], max(1, round(BLOCK_S / max(taken, 1e-6)))) for name, taken in close.items()]
            for _ in range(9 if fastest < 2 * BLOCK_S else 5)
        ]
    )
    pace = np.exp(np.log(rounds).mean(1))  # of each round: what all took longer in it is the machine's
    level = np.median(rounds / pace[:, None], 0) * np.median(pace)
    return once | dict(zip(close, level.tolist(), strict=True))


def _cpu(call: Call, many: int) -> float:
    start = time.process_time()
    for _ in range(many):
        call()
    return (time.process_time() - start) / many


def read(paths: Iterable[str]) -> list[Timing]:
    """Timings, as :func:`measure` writes them."""
    found = []
    for path in paths:
        for line in Path(path).read_text("utf-8").splitlines():
            said = json.loads(line)
            said["problem"]["padding"] = tuple(said["problem"]["padding"])
            found.append(Timing(**{**said, "problem": ConvProblem(**said["problem"])}))
    return found


def fit(backend: Backend, timings: list[Timing]) -> Model:
    """Seconds per unit of each quantity: those of a kind of problem, held to those of all kinds together.

    The fewer problems of a kind were measured, the more they are held to it.
    """
    forms = {form.name: form for form in backend.formulations}
    real = {layer.name for layer in catalogue("full")}
    cells: dict[tuple[str, str], dict[str, list[tuple[list[float], float]]]] = {}
    for timing in timings:
        for name, seconds in timing.seconds.items():
            if name in forms and forms[name].unsupported(timing.direction, timing.problem) is None:
                row = quantities(forms[name], timing.direction, timing.problem, timing.layout)
                many = IMPORTANCE if timing.name in real else 1
                kinds = cells.setdefault((name, timing.direction), {})
                kinds.setdefault(kind(timing.problem), []).extend([(row, seconds)] * many)
    model: Model = {}
    for (name, direction), kinds in cells.items():
        every = [row for rows in kinds.values() for row in rows]
        common = _units(every, np.zeros(len(every[0][0])), RIDGE)
        model.setdefault(name, {}).setdefault(direction, {})[ANY] = _rounded(common * _level(every, common))
        for which, rows in kinds.items():
            if len(rows) >= FOLDS:
                units = _units(rows, common * _level(rows, common), HELD / math.sqrt(len(rows)))
                units = units * _level(rows, units)
                model[name][direction][which] = _rounded(units)
    return model


def _rounded(units: np.ndarray) -> list[float]:
    return [float(f"{unit:.3g}") for unit in units]


def _units(rows: list[tuple[list[float], float]], held_to: np.ndarray, ridge: float) -> np.ndarray:
    """Seconds per unit, never negative: least squares of the logarithm of the time, and of what it is held to."""
    work, taken = np.array([row for row, _ in rows]), np.array([seconds for _, seconds in rows])
    weight = 1 / taken
    for _ in range(12):  # reweighted so that it is the ratio that counts, up or down
        scaled = work * weight[:, None]
        penalty = np.diag(np.sqrt((scaled**2).mean(0)) + 1e-30) * ridge * math.sqrt(len(rows))
        units, _ = nnls(np.vstack([scaled, penalty]), np.concatenate([taken * weight, penalty @ held_to]))
        weight = 1 / np.sqrt(np.maximum(work @ units, taken / 30) * taken)
    return np.asarray(units)


def _level(rows: list[tuple[list[float], float]], units: np.ndarray) -> float:
    """What the times are of those expected, in the middle."""
    return math.exp(
        statistics.median(math.log(seconds / max(float(np.dot(row, units)), 1e-9)) for row, seconds in rows)
    )


def choose(backend: Backend, model: Model, timing: Timing) -> str:
    """What :func:`xconv.planning.choices.decide` would take of what was measured."""
    forms, target = backend.by_name, target_of(backend, timing.layout)
    own = backend.own(timing.direction, timing.problem, target)
    expected: dict[str, float] = {}
    for name in timing.seconds:
        kinds = model.get(name, {}).get(timing.direction, {})
        units = kinds.get(kind(timing.problem), kinds.get(ANY))
        if units is not None and name in forms and not backend.is_trap(name, timing.direction, timing.problem):
            amounts = quantities(forms[name], timing.direction, timing.problem, timing.layout)
            expected[name] = sum(a * u for a, u in zip(amounts, units, strict=True))
    if not expected:
        return own
    return preferred(backend, timing.direction, timing.problem, target, expected)


def target_of(backend: Backend, layout: str) -> Target:
    """The CPU, by one thread, for arrays of a layout."""
    return Target(backend.name, memory_format=CHANNELS_LAST if layout.endswith("C") else CHANNELS_FIRST)


def report(backend: Backend, timings: list[Timing], also: list[Timing]) -> str:
    """How often the fastest is picked, what is lost, and how often the framework's own op would have been faster.

    What is ``also`` there is fitted to, and not reported.
    """
    names = sorted({timing.name for timing in timings})
    random.Random(0).shuffle(names)
    picked: list[tuple[Timing, str]] = []
    for fold in range(FOLDS):
        held = set(names[fold::FOLDS])
        model = fit(backend, [timing for timing in timings if timing.name not in held] + also)
        picked += [(timing, choose(backend, model, timing)) for timing in timings if timing.name in held]
    return table(backend, picked)


def tuned(backend: Backend, wanted: Iterable[Geometry]) -> str:
    """The report of what :func:`xconv.tune` takes for geometries, by times that are measured after it."""
    picked = []
    for geometry in wanted:
        found = xconv.tune(geometry.problem, backend=backend.name, layout=geometry.layout, progress=False)
        picked += [(timing, each.formulation) for timing, each in zip(measure(backend, geometry), found, strict=True)]
    return table(backend, picked)


def table(backend: Backend, picked: list[tuple[Timing, str]]) -> str:
    """The figures of what was picked, by the caller's layout and the direction."""
    rows = []
    for last in (True, False):
        for direction in DIRECTIONS:
            own = backend.own(direction, picked[0][0].problem, target_of(backend, picked[0][0].layout))
            some = [
                (timing.seconds, name)
                for timing, name in picked
                if timing.direction == direction and timing.layout.endswith("C") == last and own in timing.seconds
            ]
            if some:
                rows.append(["last" if last else "first", direction, *scores(some, own)])
    headers = ["channels", "direction", "problems", "best picked", "regret", "95 %", "worst", "slower than own",
               "speed-up", "of at most"]  # fmt: skip
    return str(tabulate(rows, headers=headers, floatfmt=".3g"))


def scores(picked: list[tuple[dict[str, float], str]], own: str) -> list[Any]:
    """Figures of a list of (seconds, what was picked)."""
    regret = np.array([seconds[name] / min(seconds.values()) for seconds, name in picked])
    gain = np.array([seconds[own] / seconds[name] for seconds, name in picked])
    mean = math.exp(float(np.log(regret).mean()))
    speed = math.exp(float(np.log(gain).mean()))
    best = f"{(regret < 1.02).mean():.0%}"
    slower = f"{(gain < 1 / 1.05).mean():.1%}"
    return [len(picked), best, mean, float(np.quantile(regret, 0.95)), regret.max(), slower, speed, speed * mean]


def main() -> None:
    """Measure, report or fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("measure", "report", "fit", "tune"):
        sub = commands.add_parser(command)
        sub.add_argument("backend")
        if command != "tune":
            sub.add_argument("files", nargs="+" if command != "measure" else 1)
        if command in ("fit", "report"):
            sub.add_argument("--also", nargs="+", default=[], help="timings to be fitted to, and not reported")
        if command in ("measure", "tune"):
            sub.add_argument("--geometries", type=int, default=0)
            sub.add_argument("--seed", type=int, default=0)
            sub.add_argument("--large", action="store_true", help="only results of 40 to 200 MB")
            sub.add_argument("--catalogue", action="store_true")
            sub.add_argument("--kind", help="only problems of this kind, as xconv.planning.estimate.kind calls it")
            sub.add_argument("--channels", choices=("first", "last"), help="only callers who have them there")
    given = parser.parse_args()
    backend = xconv.get_backend(given.backend)
    if given.command in ("measure", "tune"):
        backend.set_threads(1)
        wanted = [*geometries(given.geometries, given.seed, given.large), *(layers() if given.catalogue else ())]
        if given.kind:
            wanted = [one for one in wanted if kind(one.problem) == given.kind]
        if given.channels:
            wanted = [one for one in wanted if one.layout.endswith("C") == (given.channels == "last")]
        if given.command == "tune":
            print(tuned(backend, tqdm(wanted, unit="geometry")))
            return
        with Path(given.files[0]).open("a", encoding="utf-8") as file, backend.exact_float32():
            for geometry in tqdm(wanted, unit="geometry"):
                for timing in measure(backend, geometry):
                    file.write(json.dumps(asdict(timing)) + "\n")
                file.flush()
        return
    timings, also = read(given.files), read(given.also)
    if given.command == "report":
        print(report(backend, timings, also))
        return
    timings += also
    about = {"version": 1, "framework": backend.version(), "cpu": os.cpu_count(), "timings": len(timings)}
    model = json.dumps({**about, "seconds": fit(backend, timings)}, indent=1)
    model = re.sub(r"\[\s+([^]]*?)\s+\]", lambda cell: "[" + " ".join(cell[1].split()) + "]", model)  # a cell a line
    write_whole(PACKAGES / f"xconv_{backend.name}" / "estimates.json", model + "\n")


if __name__ == "__main__":
    main()
