"""Overlap-save: its blocks, and its error against a bound that is derived."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from xconv.core import reference
from xconv.core.backend import Backend
from xconv.core.fourier import block_length, blocks, good_length
from xconv.core.fourier_bounds import fourier_error
from xconv.core.problem import DIRECTIONS, DTYPES, ConvProblem
from xconv.core.target import Target
from xconv.parity import Case, cases, check
from xconv.parity.expected import expected
from xconv.planning.choices import LEAST_WORKSPACE_BYTES, decide
from xconv.planning.one_formulation import by_formulation

PROBLEMS = {
    "one channel": ConvProblem(2, 3000, 1, 1, 1, kernel=101, padding=(100, 0)),
    "dense": ConvProblem(3, 700, 1, 6, 4, kernel=39, padding=(19, 19)),
    "grouped": ConvProblem(2, 900, 1, 12, 6, kernel=64, groups=3),
    "depthwise": ConvProblem(1, 1500, 1, 5, 10, kernel=77, groups=5, padding=(38, 39)),
    "columns": ConvProblem(2, 400, 3, 4, 4, kernel=31, groups=2, padding=(15, 20)),
    "cropped gradient": ConvProblem(2, 90, 1, 2, 3, kernel=7, padding=(9, 8)),
    "kernel beyond the signal": ConvProblem(2, 40, 1, 3, 2, kernel=64, padding=(63, 63)),
    "many blocks": ConvProblem(1, 60_000, 1, 2, 2, kernel=9, padding=(4, 4)),
}

DATA = ("normal", "constant", "loud start", "huge range", "impulse")


def signal(kind: str, shape: tuple[int, ...], axis: int, rng: np.random.Generator) -> np.ndarray:
    """Data for which a bound fails if anything in it is wrong."""
    x = rng.standard_normal(shape)
    along = np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    if kind == "constant":
        x = np.full(shape, 0.1)
    elif kind == "loud start":
        x = np.where(along < shape[axis] / 10, 1e4 * x, x)
    elif kind == "huge range":
        x = x * 10.0 ** rng.uniform(-12, 12, shape)
    elif kind == "impulse":
        x = np.where(along == shape[axis] // 3, 1e6, 1e-6 * x)
    return x


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_error_is_within_the_bound(backend: Backend, name: str, direction: str, dtype: str, kind: str) -> None:
    problem = replace(PROBLEMS[name], dtype=dtype)
    rng = np.random.default_rng(3)

    def lines(length: int, channels: int) -> np.ndarray:
        inner = (problem.inner,) if problem.inner > 1 else ()
        return signal(kind, (problem.outer, length, *inner, channels), 1, rng).astype(dtype)

    x, dy = lines(problem.length, problem.in_channels), lines(problem.output_length, problem.out_channels)
    weight = signal("constant" if kind == "constant" else "normal", problem.weight_shape, 0, rng).astype(dtype)
    a, b = {"forward": (x, weight), "input_gradient": (dy, weight), "weight_gradient": (x, dy)}[direction]
    wanted = getattr(reference, direction)(problem, 1, a, b)
    for formulation in backend.formulations:
        length = formulation.transform_length(direction, problem)
        if length and formulation.unsupported(direction, problem) is None:
            tensors = [backend.from_numpy(array, "cpu") for array in (a, b)]
            got = backend.to_numpy(backend.run(by_formulation(backend, formulation), direction, problem, 1, *tensors))
            bound = fourier_error(problem, direction, length, a, b, dtype)
            assert (np.abs(got - wanted) <= bound).all()


RANGES = ("huge", "tiny", "subnormal", "huge and tiny", "one loud element", "balanced", "overflow")
TENS = {"float32": 36, "float64": 300}
"""The power of ten near the largest number, and near the smallest normal one."""


def ranged(
    kind: str, problem: ConvProblem, direction: str, a: np.ndarray, b: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Two operands at the ends of what their type holds."""
    tens = TENS[problem.dtype]
    if kind == "huge":
        return np.abs(a) * 10.0 ** (tens + 1), b * 1e-5
    if kind == "tiny":
        return a * 10.0 ** (6 - tens), b * 1e-6
    if kind == "subnormal":
        return a * 10.0 ** -(tens + 5), b
    if kind == "huge and tiny":
        return a * 10.0 ** -(tens - 2), np.abs(b) * 10.0 ** (tens + 1)
    if kind == "one loud element":
        loud = a.copy()
        loud[0, a.shape[1] // 3] = 10.0**tens
        return loud, b * 1e-4
    if kind == "overflow":
        return a * 10.0 ** (tens - 4), b * 10.0 ** (tens - 4)
    # the products of a sum are alike, the factors are not
    if direction == "weight_gradient":
        power = 10.0 ** rng.uniform(-tens / 2.5, tens / 2.5, (problem.outer, 1, *a.shape[2:-1], 1))
        return a * power, b / power
    inputs, outputs = problem.group_in, problem.group_out
    if direction == "input_gradient":
        inputs, outputs = outputs, inputs
    power = 10.0 ** rng.uniform(-tens, tens, (problem.groups, inputs))
    if direction == "forward":
        return a * power.reshape(-1), b / power.T[:, :, None].repeat(outputs, 2).reshape(1, inputs, -1)
    return a * power.reshape(-1), b / power.reshape(1, 1, -1)


@pytest.mark.parametrize("kind", RANGES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_nothing_inside_overflows(backend: Backend, name: str, direction: str, dtype: str, kind: str) -> None:
    """Results that are finite come out finite, within the bound; those that are not are infinite, of the right sign."""
    problem = replace(PROBLEMS[name], dtype=dtype)
    rng = np.random.default_rng(5)
    inner = (problem.inner,) if problem.inner > 1 else ()
    x, dy = (
        rng.standard_normal((problem.outer, length, *inner, channels))
        for length, channels in ((problem.length, problem.in_channels), (problem.output_length, problem.out_channels))
    )
    weight = rng.standard_normal(problem.weight_shape)
    a, b = {"forward": (x, weight), "input_gradient": (dy, weight), "weight_gradient": (x, dy)}[direction]
    a, b = (array.astype(dtype) for array in ranged(kind, problem, direction, a, b, rng))
    most = float(np.finfo(dtype).max)
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = getattr(reference, direction)(problem, 1, a, b)
        for formulation in backend.formulations:
            length = formulation.transform_length(direction, problem)
            if length and formulation.unsupported(direction, problem) is None:
                tensors = [backend.from_numpy(array, "cpu") for array in (a, b)]
                how = by_formulation(backend, formulation)
                got = backend.to_numpy(backend.run(how, direction, problem, 1, *tensors)).astype("float64")
                bound = np.broadcast_to(fourier_error(problem, direction, length, a, b, dtype), wanted.shape)
                finite = np.abs(wanted) + bound < most
                assert finite.any() or kind == "overflow"
                assert (np.abs(got - wanted) <= bound)[finite].all()
                beyond = np.abs(wanted) - bound > most * (1 + np.finfo(dtype).eps)
                assert (got[beyond] == np.sign(wanted[beyond]) * np.inf).all()


NEIGHBOURS = ("huge", "tiny", "subnormal", "infinite", "nan")


@pytest.mark.parametrize("kind", NEIGHBOURS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("direction", ["forward", "input_gradient"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_neighbours_change_no_bit(backend: Backend, name: str, direction: str, dtype: str, kind: str) -> None:
    """Whatever another signal of the batch holds: also where a scaled signal would lose less than one that is not."""
    problem = replace(PROBLEMS[name], dtype=dtype, outer=2)
    rng, limits = np.random.default_rng(7), np.finfo(dtype)
    inner = (problem.inner,) if problem.inner > 1 else ()
    length, channels = problem.length, problem.in_channels
    if direction == "input_gradient":
        length, channels = problem.output_length, problem.out_channels
    # numbers at both ends of the type in one block, and a kernel that cancels the loud ones
    x = rng.standard_normal((2, length, *inner, channels)) * 1e3 * float(limits.tiny)
    x[:, ::3] = 1.0
    weight = rng.integers(-2, 3, problem.weight_shape).astype(dtype)
    louder = x.copy()
    louder[1] = {
        "huge": 0.01 * float(limits.max),
        "tiny": 1e3 * float(limits.tiny),
        "subnormal": 3 * float(limits.smallest_subnormal),
        "infinite": np.inf,
        "nan": np.nan,
    }[kind]
    for form in backend.formulations:
        if form.transform_length(direction, problem) and form.unsupported(direction, problem) is None:
            how, found = by_formulation(backend, form), []
            for array in (x, louder):
                tensors = [backend.from_numpy(a.astype(dtype), "cpu") for a in (array, weight)]
                found.append(backend.to_numpy(backend.run(how, direction, problem, 1, *tensors)))
            bits = [one[0].view("int32" if dtype == "float32" else "int64") for one in found]
            assert np.array_equal(*bits)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_quiet_part_keeps_its_bound(dtype: str) -> None:
    """The bound follows the signal: behind a loud start it is as small as if there had been none."""
    problem = ConvProblem(1, 4000, 1, 2, 2, kernel=33)
    rng, length = np.random.default_rng(0), block_length(problem)
    x, w = rng.standard_normal((1, 4000, 2)), rng.standard_normal((33, 2, 2))
    loud = x.copy()
    loud[:, :300] *= 1e6
    quiet, behind = (fourier_error(problem, "forward", length, a, w, dtype) for a in (x, loud))
    assert (behind[:, 300 + 2 * length :] <= quiet[:, 300 + 2 * length :] * (1 + 1e-4)).all()
    assert behind[:, 0].min() > 1e4 * quiet[:, 0].max()


@pytest.mark.parametrize("kernel", [1, 2, 9, 33, 100, 500])
@pytest.mark.parametrize("length", [500, 1024, 100_000])
def test_blocks_cover_the_signal(kernel: int, length: int) -> None:
    problem = ConvProblem(1, length, 1, 1, 1, kernel=kernel)
    n = block_length(problem)
    count, outputs = blocks(problem, n)
    assert problem.extent <= n <= max(good_length(length), 32)
    assert (count - 1) * outputs < problem.output_length <= count * outputs
    # a block overlaps no more than the next one
    assert count == 1 or n - outputs <= outputs


@pytest.mark.parametrize("shape", [(2, 0, 3), (0, 2, 3)], ids=["no elements", "no samples"])
@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_nothing_has_no_error(backend: Backend, shape: tuple[int, int, int], mode: str) -> None:
    if "fft" not in [formulation.name for formulation in backend.formulations] or (shape[1] == 0 and mode == "reflect"):
        return  # the backend has no transforms; or there is nothing to reflect, and an error says so
    case = Case("none", "conv1d", shape, ((2, 3, 4),), {"padding": 1, "padding_mode": mode})
    found = [f for kind in ("integers", "normal") for f in check(backend, case, kind=kind, formulation="fft")]
    assert found
    assert [str(finding) for finding in found if not finding.ok] == []


def test_what_is_computed_from_an_inexact_gradient_is_inexact_too() -> None:
    """The second step's input gradient is by transforms, and reaches the first step's weight gradient."""
    case = Case("steps", "spatially_separable_conv2d", (1, 9, 9, 1), ((5, 1, 1), (5, 1, 1)), {}, False, "NHWC")
    inputs = case.inputs("integers", "float32")
    found = expected(case, inputs, "float32", True, "integers", [{}, {"input_gradient": 16}])
    inexact = {name for name, array in found.items() if array.error.any()}
    assert inexact == {"dx", "dweight_rows"}


@pytest.mark.parametrize(("channels", "length"), [(64, 16_384), (64, 16_385), (768, 2048)])
def test_long_depthwise_kernels_are_transformed_a_few_channels_at_a_time(
    backend: Backend, channels: int, length: int
) -> None:
    """However many weights there are, "auto" can take transforms; of torch's the memory is that of a few channels."""
    forms = [form for form in backend.formulations if form.transform_length("forward", PROBLEMS["dense"])]
    if not forms or backend.name != "torch":
        return  # it has no transforms, or holds those of all channels
    problem = ConvProblem(1, length, 1, channels, channels, length, groups=channels, padding=(length - 1, 0))
    rng = np.random.default_rng(1)
    shapes = (1, length, channels), problem.weight_shape, (1, length, channels)
    x, w, dy = (rng.standard_normal(shape).astype("float32") for shape in shapes)
    some = slice(channels - 2, channels)
    few = replace(problem, groups=2, in_channels=2, out_channels=2)
    for direction, a, b in (("forward", x, w), ("input_gradient", dy, w), ("weight_gradient", x, dy)):
        assert decide(backend, direction, problem, "NWC", Target(backend.name)).formulation == "fft"
        assert forms[0].workspace(direction, problem) <= LEAST_WORKSPACE_BYTES
        whole = (backend.from_numpy(v, "cpu") for v in (a, b))
        got = backend.to_numpy(backend.run(by_formulation(backend, forms[0]), direction, problem, 1, *whole))
        alone = (backend.from_numpy(np.ascontiguousarray(v[..., some]), "cpu") for v in (a, b))
        wanted = backend.to_numpy(backend.run(by_formulation(backend, forms[0]), direction, few, 1, *alone))
        bound = fourier_error(few, direction, block_length(few), a[..., some], b[..., some], "float32")
        assert got.shape[-1] == channels
        assert (np.abs(got[..., some] - wanted) <= 2 * bound).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [case for case in cases("smoke") if case.operation == "conv1d"], ids=str)
def test_every_dtype_keeps_its_bound(backend: Backend, case: Case, dtype: str) -> None:
    """float16 and bfloat16 are computed in float32, which the transforms are scaled for."""
    form = backend.by_name.get("fft")
    if form is None or any(form.unsupported(call.direction, call.problem) for call in case.calls()):
        return
    found = check(backend, case, kind="normal", dtype=dtype, formulation="fft")
    assert all(finding.ok for finding in found), found
