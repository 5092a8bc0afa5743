"""torch: operations and layers in traces, scripts, graphs of ``torch.fx`` and ONNX files."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn.utils import prune

import xconv
from tests.every_call import EVERY, SIMPLE, arrays
from xconv.parity import Case
from xconv.testing.suite.extended import first_of
from xconv_torch.layers import KINDS, Conv1D

BACKEND = xconv.get_backend("torch")
jit: Any = torch.jit
onnx: Any = torch.onnx
pruned: Any = prune

LOWER, REPLICATE = {"padding": "same_lower", "stride": 2}, {"padding": 2, "padding_mode": "replicate"}
MORE = [
    Case("same", "conv1d", (2, 17, 3), ((4, 3, 5),), {"padding": "same", "stride": 3}),
    Case(
        "same_lower",
        "conv1d_columns",
        (2, 17, 4, 3),
        ((4, 3, 5),),
        {"padding": "same_lower", "stride": 2},
        layout="NHWC",
    ),
    Case("causal", "conv1d", (2, 17, 6), ((3, 1, 6),), {"padding": "causal", "dilation": 2, "groups": 6}),
    Case("reflect", "conv1d", (2, 17, 3), ((3, 3, 5),), {"padding": (2, 1), "padding_mode": "reflect"}),
    Case(
        "replicate",
        "conv1d_rows",
        (2, 4, 17, 3),
        ((3, 3, 5),),
        {"padding": 2, "padding_mode": "replicate"},
        layout="NHWC",
    ),
    Case("circular", "conv1d", (2, 17, 3), ((3, 3, 5),), {"padding": "same", "padding_mode": "circular", "stride": 2}),
    Case("up", "conv1d_transpose", (2, 7, 5), ((3, 3, 5),), {"padding": "same", "stride": 2}),
    Case("pointwise", "conv1d", (2, 17, 3), ((1, 3, 5),), {"stride": 2}),
    Case("one output", "conv1d", (2, 17, 3), ((3, 3, 1),), {"padding": 1}),
]
CASES = pytest.mark.parametrize("case", [*EVERY, *SIMPLE, *MORE], ids=lambda case: case.name)


@pytest.fixture(autouse=True)
def _strict() -> Iterator[None]:
    """No warning that a trace may be wrong for other inputs; that torch would have another thing used is known."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", jit.TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def others(x: Any, case: Case) -> list[Any]:
    """Integers of other sizes: another batch, and longer along each axis."""
    found = []
    for more in ([1, 0, 0], [0, 4, 0], [3, 5, 2]):
        channels = 1 if not case.layout.endswith("C") else x.ndim - 1
        grown, added = list(x.shape), iter(more)
        for axis in range(x.ndim):
            if axis != channels:
                grown[axis] += next(added)
        found.append(torch.randint(-2, 3, grown, generator=torch.Generator().manual_seed(sum(grown))).float())
    return found


@CASES
def test_traces_of_operations(case: Case) -> None:
    """A traced graph holds torch's ops, and serves arrays of other sizes; its gradients too."""
    x, *rest = (leaf.requires_grad_() for leaf in arrays(BACKEND, case))
    case.run(x, *rest)  # an eager call that is kept has no part in a trace
    traced = jit.trace(case.run, (x, *rest))
    assert "PythonOp" not in str(traced.graph)
    assert "xconv" not in {node.kind().partition("::")[0] for node in traced.inlined_graph.nodes()}
    for one in (x, *others(x, case)):
        given = one.detach().requires_grad_()
        y, wanted = traced(given, *rest), case.run(given, *rest)
        assert torch.equal(y, wanted)
        above = torch.ones_like(wanted)
        found = (torch.autograd.grad(each, (given, *rest), above) for each in (y, wanted))
        assert all(map(torch.equal, *found))


def layers() -> dict[str, Callable[[], Any]]:
    """One of each layer in each layout, with small integers for parameters."""

    def made(kind: Any, **options: Any) -> Any:
        layer = kind(4, 6, 3, **options)
        for parameter in layer.parameters():
            drawn = torch.randint(-2, 3, parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
            parameter.data.copy_(drawn)
        return layer

    found: dict[str, Callable[[], Any]] = {}
    for kind in KINDS:
        ranked = (
            ("NHWC", "NCHW") if kind.layer in ("Conv1DRows", "Conv1DColumns") or "Sep" in kind.layer else ("NWC", "NCW")
        )
        for layout in ranked:
            found[f"{kind.layer}-{layout}"] = lambda kind=kind, layout=layout: made(kind, layout=layout, padding=1)  # type: ignore[misc]
            found[f"{kind.layer}-{layout}-same"] = lambda kind=kind, layout=layout: made(  # type: ignore[misc]
                kind, layout=layout, padding="same", stride=2
            )
    return found


LAYERS = pytest.mark.parametrize("name", layers())


def example(layer: Any, batch: int = 2, more: int = 0) -> Any:
    sizes = {"N": batch, "C": 4, "H": 9 + more, "W": 11 + more}
    shape = [sizes[axis] for axis in layer.options.layout]
    return torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(sum(shape))).float()


@LAYERS
def test_traces_of_layers(name: str) -> None:
    layer = layers()[name]()
    traced = jit.trace(torch.nn.Sequential(layer, torch.nn.ReLU()), example(layer))
    saved = io.BytesIO()
    jit.save(traced, saved)
    saved.seek(0)
    for program in (traced, jit.load(saved)):
        for x in (example(layer), example(layer, 3), example(layer, 2, 5)):
            assert torch.equal(program(x), layer(x).relu())


@LAYERS
def test_a_script_is_refused_and_takes_a_trace(name: str) -> None:
    layer = layers()[name]()
    for module in (layer, torch.nn.Sequential(torch.nn.ReLU(), layer)):
        with pytest.raises(xconv.UnsupportedError, match=rf"{layer.layer}: torch.jit.script .*torch.jit.trace"):
            jit.script(module)
    x = example(layer)
    scripted = jit.script(torch.nn.Sequential(torch.nn.ReLU(), jit.trace(layer, x)))
    assert torch.equal(scripted(x), layer(x.relu()))


@LAYERS
def test_fx_sees_a_layer_as_one_function(name: str) -> None:
    """Which looks at no shape before the graph runs: with a batch axis and without, of any length, trained."""
    layer = layers()[name]()
    model = torch.nn.Sequential(layer, torch.nn.ReLU())
    graph = torch.fx.symbolic_trace(model)
    called = [node for node in graph.graph.nodes if node.op == "call_function"]
    assert [node.target.__name__ for node in called] == ["convolved"]
    for x in (example(layer), example(layer, 3, 5), example(layer)[0]):
        assert torch.equal(graph(x), model(x))
    graph(example(layer)).sum().backward()
    assert all(parameter.grad is not None for parameter in graph.parameters())
    again = torch.fx.symbolic_trace(graph)
    assert torch.equal(again(example(layer)), model(example(layer)))


def test_fx_keeps_what_a_module_of_torch_is() -> None:
    """Between layers of torch's own, with one that is used twice."""
    layer = Conv1D(4, 4, 3, padding="same")
    model = torch.nn.Sequential(torch.nn.Conv1d(4, 4, 1), layer, torch.nn.BatchNorm1d(4), layer).eval()
    graph = torch.fx.symbolic_trace(model)
    x = torch.randn(2, 4, 19, generator=torch.Generator().manual_seed(0))
    assert torch.equal(graph(x), model(x))
    assert sum(node.op == "call_module" for node in graph.graph.nodes) == 2


@LAYERS
def test_onnx_files_by_traces(name: str) -> None:
    """Run by ONNX Runtime, for other batches and lengths too."""
    layer = layers()[name]()
    written = io.BytesIO()
    free = {axis: where for axis, where in enumerate(layer.options.layout) if where != "C"}
    onnx.export(
        layer,
        (example(layer),),
        written,
        dynamo=False,
        input_names=["x"],
        output_names=["y"],
        dynamic_axes={"x": free, "y": free},
    )
    session = onnxruntime.InferenceSession(written.getvalue(), providers=["CPUExecutionProvider"])
    for x in (example(layer), example(layer, 3), example(layer, 2, 5)):
        [y] = session.run(None, {"x": x.numpy()})
        assert np.array_equal(y, layer(x).detach().numpy())


@pytest.mark.parametrize("name", first_of(layers(), 3))  # an export takes two seconds
def test_onnx_files_by_export(name: str) -> None:
    layer = layers()[name]().eval()
    free = {axis: torch.export.Dim.DYNAMIC for axis, where in enumerate(layer.options.layout) if where != "C"}
    program = onnx.export(layer, (example(layer),), dynamo=True, dynamic_shapes={"x": free}, verbose=False)
    written = io.BytesIO()
    program.save(written)
    session = onnxruntime.InferenceSession(written.getvalue(), providers=["CPUExecutionProvider"])
    for x in (example(layer), example(layer, 3), example(layer, 2, 5)):
        [y] = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        assert np.array_equal(y, layer(x).detach().numpy())


@LAYERS
def test_weights_that_are_computed(name: str) -> None:
    """Pruned, normed and parametrized in any other way, with copies and pickles of what can be pickled."""
    layer = layers()[name]()
    x, weights = example(layer), [name for name, _ in layer.named_parameters() if name != "bias"]
    for weight in weights:
        pruned.l1_unstructured(layer, weight, amount=0.5)
    masked = [getattr(layer, weight) for weight in weights]
    assert all((kernel == 0).sum() * 2 >= kernel.numel() for kernel in masked)
    plain = layers()[name]()
    for weight, kernel in zip(weights, masked, strict=True):
        getattr(plain, weight).data.copy_(kernel)
    assert torch.equal(layer(x), plain(x))
    assert torch.equal(pickle.loads(pickle.dumps(layer))(x), plain(x))
    for weight in weights:
        pruned.remove(layer, weight)
    assert torch.equal(copy.deepcopy(layer)(x), plain(x))
    for weight in weights:
        torch.nn.utils.parametrizations.weight_norm(layer, weight)
    torch.testing.assert_close(layer(x), plain(x))
    copied = copy.deepcopy(layer)
    y = copied(x)
    assert torch.equal(y, layer(x))
    y.sum().backward()
    assert all(parameter.grad is not None for parameter in copied.parameters())
    assert torch.equal(jit.trace(layer, x)(x), layer(x))
