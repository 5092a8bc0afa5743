"""What is JAX's own: transformations, float64 beside float32, matmul precision, its gaps on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental import sparse

import xconv
from xconv.core import reference
from xconv.core.call import resolve
from xconv.core.registry import name_of_array
from xconv_jax.formulations.taps import UNROLLED_TAPS

BACKEND = xconv.get_backend("jax")
RNG = np.random.default_rng(5)
OWN = ("NWC", "WIO", "NWC")

CASES: dict[str, tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "plain": ("conv1d", (2, 20, 3), (3, 3, 4), {"padding": (3, 1)}),
    "channels first": ("conv1d", (2, 3, 20), (4, 3, 3), {"layout": "NCW", "stride": 2}),
    "grouped": ("conv1d", (2, 20, 6), (3, 3, 4), {"groups": 2, "dilation": 2}),
    "depthwise": ("conv1d", (2, 20, 4), (3, 1, 8), {"groups": 4, "stride": 2}),
    "columns": ("conv1d_columns", (2, 12, 5, 6), (3, 3, 4), {"groups": 2, "padding": "same"}),
    "transposed": ("conv1d_transpose", (2, 9, 4), (3, 3, 4), {"groups": 2, "stride": 2, "dilation": 2}),
    "borders": ("conv1d_rows", (2, 5, 9, 6), (3, 6, 4), {"padding": 2, "padding_mode": "reflect"}),
    "long": ("conv1d", (1, 2 * UNROLLED_TAPS, 2), (UNROLLED_TAPS + 3, 2, 2), {"padding": "causal", "stride": 3}),
    "long depthwise": (
        "conv1d",
        (1, 2 * UNROLLED_TAPS, 2),
        (UNROLLED_TAPS + 3, 1, 2),
        {"padding": "same", "groups": 2},
    ),
}
PINNED = ("auto", "conv1d", "conv2d", "taps")


def integers(*shape: int) -> np.ndarray:
    return RNG.integers(-2, 3, shape).astype("float32")


def same(got: Any, wanted: Any) -> bool:
    return bool(np.array_equal(np.asarray(got), wanted, equal_nan=True))


@pytest.mark.parametrize("formulation", PINNED)
@pytest.mark.parametrize("case", CASES)
def test_every_transformation(case: str, formulation: str) -> None:
    """Values, both gradients, gradients of gradients, forward mode, batches: all in jit, bit for bit."""
    operation, x_shape, w_shape, options = CASES[case]
    call = resolve(operation, x_shape, w_shape, **options)
    f = partial(getattr(xconv, operation), formulation=formulation, **options)
    x, w, v = (jnp.asarray(integers(*shape)) for shape in (x_shape, w_shape, x_shape))
    y = reference.apply(call, x, w)

    def gradients(x: Any, w: Any) -> Any:
        y, pull_back = jax.vjp(f, x, w)
        return pull_back(y)

    dx, dw = jax.jit(gradients)(x, w)
    assert same(jax.jit(f)(x, w), y)
    assert same(dx, reference.input_adjoint(call, y, w))
    assert same(dw, reference.weight_adjoint(call, x, y))
    z = reference.apply(call, v, w)
    second = jax.jit(jax.grad(lambda x, w: (gradients(x, w)[0] * v).sum(), (0, 1)))(x, w)
    assert same(second[0], reference.input_adjoint(call, z, w))
    assert same(second[1], reference.weight_adjoint(call, x, z) + reference.weight_adjoint(call, v, y))
    assert same(jax.jvp(f, (x, w), (v, w))[1], z + y)
    assert same(jax.vmap(f, (0, None))(jnp.stack([x, v]), w), np.stack([y, z]))
    assert same(jax.vmap(f)(jnp.stack([x, v]), jnp.stack([w, -w])), np.stack([y, -z]))
    batched = jax.jit(jax.vmap(gradients))(jnp.stack([x, v]), jnp.stack([w, w]))
    assert same(batched[1][0], dw)
    assert same(batched[1][1], reference.weight_adjoint(call, v, z))


def test_tracers_are_arrays_of_jax() -> None:
    kinds: list[type] = []

    def look(x: Any) -> Any:
        kinds.append(type(x))
        assert name_of_array(x) == "jax"
        assert BACKEND.device(x) is None
        return x.sum()

    x = jnp.ones((2, 3))
    for transform in (jax.jit, jax.grad, jax.vmap):
        transform(look)(x)
    jax.jvp(look, (x,), (x,))
    assert len(kinds) == 4
    assert BACKEND.device(x) in BACKEND.devices()


def test_mistakes_are_found_while_tracing() -> None:
    with pytest.raises(xconv.ArgumentError, match="spans 5 elements"):
        jax.jit(xconv.conv1d)(jnp.ones((1, 3, 2)), jnp.ones((5, 2, 2)))
    with pytest.raises(xconv.ArgumentError, match="stride"):
        jax.jit(lambda x, w, s: xconv.conv1d(x, w, stride=s))(jnp.ones((1, 9, 2)), jnp.ones((5, 2, 2)), 2)


def test_what_is_no_dense_array_is_refused() -> None:
    x = jnp.ones((1, 9, 2))
    for other in (sparse.BCOO.fromdense(x), jax.ShapeDtypeStruct(x.shape, x.dtype)):
        with pytest.raises(xconv.ArgumentError, match=f"x: got a {type(other).__name__}"):
            xconv.conv1d(other, jnp.ones((3, 2, 2)))
    with pytest.raises(xconv.ArgumentError, match="dtype key"):
        xconv.conv1d(jax.random.split(jax.random.key(0), (1, 9, 2)), jnp.ones((3, 2, 2)))


def test_numpy_arrays_have_no_value_inside_jit() -> None:
    x, w = integers(1, 9, 2), integers(3, 2, 2)
    with pytest.raises(xconv.UnsupportedError, match=r"pass a jax\.Array"):
        jax.jit(lambda: xconv.conv1d(x, w, backend="jax"))()


# --- what JAX does wrongly, and the backend does another way ---


@pytest.mark.parametrize("groups", [2, 3])
@pytest.mark.parametrize("place", ["x", "above"])
def test_a_nan_stays_in_its_group(groups: int, place: str) -> None:
    """XLA computes the weight gradients of all pairs of groups, and multiplies those of two groups by zero."""
    call = resolve("conv1d", (1, 13, 6), (3, 6 // groups, 6), groups=groups, stride=2)
    x, w, dy = integers(1, 13, 6), integers(3, 6 // groups, 6), integers(1, 6, 6)
    {"x": x, "above": dy}[place][0, 4, 0] = np.nan
    wanted = reference.weight_adjoint(call, x, dy)
    assert np.isnan(wanted).any()
    assert not np.isnan(wanted).all()

    def own(x: Any, w: Any) -> Any:
        return lax.conv_general_dilated(x, w, (2,), "VALID", dimension_numbers=OWN, feature_group_count=groups)

    if place == "above":
        gap = jax.vjp(own, x, w)[1](jnp.asarray(dy))[1]
        assert not same(gap, wanted), "linked in xconv_jax.formulations.native is no longer needed for its values"
    for formulation in PINNED:
        f = partial(xconv.conv1d, groups=groups, stride=2, formulation=formulation)
        for transformed in (f, jax.jit(f)):
            assert same(jax.vjp(transformed, x, w)[1](jnp.asarray(dy))[1], wanted), formulation


@pytest.mark.parametrize("groups", [2, 4])
def test_a_nan_stays_in_its_group_of_conv2d(groups: int) -> None:
    shapes = (1, 7, 8, 4), (3, 2, 4 // groups, 4)
    call = resolve("conv2d", *shapes, groups=groups, stride=(1, 2), dilation=(2, 1), padding=((1, 0), (0, 2)))
    x, w = integers(*shapes[0]), integers(*shapes[1])
    dy = integers(*call.result_shape(shapes[0]))
    dy[0, 1, 1, 0] = np.nan
    f = partial(xconv.conv2d, groups=groups, stride=(1, 2), dilation=(2, 1), padding=((1, 0), (0, 2)))
    y, pull_back = jax.vjp(f, x, w)
    dx, dw = pull_back(jnp.asarray(dy))
    assert same(y, reference.apply(call, x, w))
    assert same(dw, reference.weight_adjoint(call, x, dy))
    assert same(dx, reference.input_adjoint(call, dy, w))


def test_pads_beyond_the_kernel() -> None:
    """XLA reads behind its input for pads of -1 and 1, which the gradient of (3, 1) around three taps has."""
    wrong, pads = 0, (3, 1)
    call = resolve("conv1d", (2, 20, 16), (3, 16, 16), padding=pads)
    for _ in range(5):
        x, w, dy = integers(2, 20, 16), integers(3, 16, 16), integers(2, 22, 16)
        wanted = reference.input_adjoint(call, dy, w)
        f = partial(lax.conv_general_dilated, window_strides=(1,), padding=[pads], dimension_numbers=OWN)
        wrong += not same(jax.vjp(lambda x, w=w, f=f: f(x, w), x)[1](jnp.asarray(dy))[0], wanted)
        for formulation in PINNED:
            f = partial(xconv.conv1d, padding=pads, formulation=formulation)
            for transformed in (f, jax.jit(f)):
                assert same(jax.vjp(transformed, x, w)[1](jnp.asarray(dy))[0], wanted), formulation
    assert wrong, "_reached in xconv_jax.formulations.native is no longer needed"


def test_pads_beyond_the_kernel_of_conv2d() -> None:
    pads = ((3, 1), (2, 0))
    call = resolve("conv2d", (2, 8, 9, 16), (3, 2, 16, 16), padding=pads)
    x, w = integers(2, 8, 9, 16), integers(3, 2, 16, 16)
    dy = integers(*call.result_shape(x.shape))
    f = partial(xconv.conv2d, padding=pads)
    dx, dw = jax.jit(lambda x, w, dy: jax.vjp(f, x, w)[1](dy))(x, w, dy)
    assert same(dx, reference.input_adjoint(call, dy, w))
    assert same(dw, reference.weight_adjoint(call, x, dy))


def test_float64_stays_float64() -> None:
    """JAX makes NumPy's float64 to float32; xconv computes it in a scope, and leaves the switch alone."""
    if jax.config.jax_enable_x64:
        pytest.fail("this test is of JAX as it starts: without JAX_ENABLE_X64")
    x, w = RNG.standard_normal((2, 30, 6)), RNG.standard_normal((3, 6, 4))
    with pytest.warns(UserWarning, match="float64"):
        assert jnp.asarray(x, dtype="float64").dtype == np.float32, "the scope in xconv_jax.backend is no longer needed"
    for formulation in PINNED:
        for _ in range(2):
            y = xconv.conv1d(x, w, backend="jax", formulation=formulation)
            assert y.dtype == np.float64
            assert np.abs(y - reference.apply(resolve("conv1d", x.shape, w.shape), x, w)).max() < 2**-40
    tensors = [BACKEND.from_numpy(array, "cpu") for array in (x, w)]
    assert xconv.conv1d(*tensors).dtype == np.float64
    assert xconv.conv1d(x[:0], w, backend="jax").dtype == np.float64
    assert not jax.config.jax_enable_x64
    assert jnp.ones(3).dtype == np.float32


def test_a_float64_gradient_is_refused_where_it_would_be_float32() -> None:
    with jax.enable_x64(True):
        x, w = jnp.ones((1, 9, 4)), jnp.ones((3, 2, 4))

    def taps(x: Any, w: Any) -> Any:
        with jax.enable_x64(True):
            return jnp.matmul(x[:, :7, :2], w[0])

    with pytest.warns(UserWarning, match="truncated"):  # else JAX keeps the scope of what it transposes
        jax.vjp(taps, x, w)[1](taps(x, w))
    f = partial(xconv.conv1d, groups=2)
    transformations: dict[str, Callable[[], Any]] = {
        "jit": lambda: jax.jit(f)(x, w),
        "vmap": lambda: jax.vmap(f)(x[None], w[None]),
        "vjp": lambda: jax.vjp(f, x, w),
    }
    for transformed in transformations.values():
        with pytest.raises(xconv.ArgumentError, match=r"outside jax\.enable_x64\(\)"):
            transformed()
    with jax.enable_x64(True):
        y, pull_back = jax.vjp(f, x, w)
        assert {str(array.dtype) for array in (y, *pull_back(y))} == {"float64"}


# --- what the shared suite asks of a backend, in JAX's terms ---


@pytest.mark.parametrize("formulation", PINNED)
def test_exact_float32_reaches_every_product(formulation: str) -> None:
    """In what was computed before without it too: the precision in force is of jit's key."""
    x, w = jnp.ones((1, 30, 16)), jnp.ones((3, 16, 16))
    f = partial(xconv.conv1d, formulation=formulation)

    def gradients(x: Any, w: Any) -> Any:
        y, pull_back = jax.vjp(f, x, w)
        return pull_back(y)

    f(x, w)
    before = str(jax.make_jaxpr(gradients)(x, w))
    with BACKEND.exact_float32():
        exact = str(jax.make_jaxpr(gradients)(x, w))
    assert "HIGHEST" not in before
    products = exact.count("conv_general_dilated[") + exact.count("dot_general[")
    assert products >= 3
    assert exact.count("precision=None") == 0
    assert exact.count("HIGHEST") >= products
    assert str(jax.make_jaxpr(gradients)(x, w)) == before


def test_synchronize_waits() -> None:
    """For a result that nobody holds, too: a benchmark drops them."""
    x = jnp.full((400, 400), 1e-3)
    slow = jax.jit(lambda x: lax.fori_loop(0, 100, lambda _, a: a @ x, x))
    slow(x).block_until_ready()
    BACKEND.synchronize("cpu")
    start = time.perf_counter()
    slow(x).block_until_ready()
    took = time.perf_counter() - start
    start = time.perf_counter()
    slow(x)
    BACKEND.synchronize("cpu")
    assert time.perf_counter() - start > took / 10  # without waiting, a call takes a thousandth


def test_threads_are_set_before_the_first_computation() -> None:
    code = """
import os, sys, xconv
assert "jax" not in sys.modules
backend = xconv.get_backend("jax")
backend.set_threads(int(sys.argv[1]))
import jax.numpy as jnp
jnp.ones(3).block_until_ready()
print(backend.threads(), len(os.listdir("/proc/self/task")))
"""
    found = []
    for count in (1, 9):
        done = subprocess.run([sys.executable, "-c", code, str(count)], capture_output=True, text=True, check=True)
        threads, tasks = map(int, done.stdout.split()[-2:])
        assert threads == count
        found.append(tasks)
    assert found[1] - found[0] >= 8


def test_arrays_over_several_devices() -> None:
    code = """
import jax, jax.numpy as jnp, numpy as np, xconv
from jax.sharding import Mesh, NamedSharding, PartitionSpec
assert len(jax.devices()) == 2
x, w = np.arange(2 * 9 * 2.0, dtype="float32").reshape(2, 9, 2), np.ones((3, 2, 2), "float32")
mesh = Mesh(np.array(jax.devices()), ("batch",))
shards = jax.device_put(x, NamedSharding(mesh, PartitionSpec("batch")))
whole = jax.device_put(w, NamedSharding(mesh, PartitionSpec()))
for _ in range(2):
    y = xconv.conv1d(shards, whole)
    assert len(y.devices()) == 2
    assert np.array_equal(y, xconv.conv1d(x, w, backend="jax"))
print("same")
"""
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.split() == ["same"], done.stderr[-2000:]


def test_compiled_programs_are_let_go() -> None:
    compiled = jax.jit(lambda x: x + 1)
    compiled(jnp.ones(3))
    assert compiled._cache_size() == 1
    xconv.get_backend("jax").release()
    assert compiled._cache_size() == 0


def test_threads_where_the_system_does_not_tell_the_allowed_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS and Windows: all cores are counted, and a call runs."""
    monkeypatch.delenv("NPROC", raising=False)
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    assert xconv.get_backend("jax").threads() == os.cpu_count()
    monkeypatch.setenv("NPROC", "3")
    assert xconv.get_backend("jax").threads() == 3
