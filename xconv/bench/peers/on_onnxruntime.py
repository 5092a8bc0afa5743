"""What runs where a model was exported to ONNX: one ``Conv`` with constant weights, transposes in the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from xconv.bench.peers.task import Built, PeerConvolution, PeerTask, UnsupportedByPeerError

OPSET, IR_VERSION = 21, 10
"""Fixed, because a newer onnx writes newer ones by default than the runtime reads."""


def set_threads(count: int) -> None:
    """Nothing: a session has its own number of threads."""
    del count


def version() -> str:
    """ONNX Runtime's version."""
    return str(onnxruntime.__version__)


def _session(task: PeerTask) -> Built:
    """A plain call of a session with default options."""
    session, x = _ready(task), task.x
    return Built(lambda: session.run(None, {"x": x})[0], lambda y: [np.asarray(y)])


def _bound(task: PeerTask) -> Built:
    """Input and output bound before the call: nothing is allocated, and each call writes over the last result."""
    session = _ready(task)
    x = onnxruntime.OrtValue.ortvalue_from_numpy(task.x)
    y = onnxruntime.OrtValue.ortvalue_from_numpy(session.run(None, {"x": task.x})[0])
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", x)
    binding.bind_ortvalue_output("y", y)
    return Built(lambda: session.run_with_iobinding(binding), lambda _: [y.numpy()])


WAYS: dict[str, Callable[[PeerTask], Built]] = {"session": _session, "bound": _bound}


def _ready(task: PeerTask) -> Any:
    task.on_cpu()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = task.threads
    model = _model(task).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _model(task: PeerTask) -> Any:
    rank, inputs, name = task.rank, task.x.shape[1], "first"
    nodes = [helper.make_node("Transpose", ["x"], [name], perm=[0, rank + 1, *range(1, rank + 1)])]
    constants = []
    for number, (step, kernel) in enumerate(zip(task.steps, task.kernels(), strict=True)):
        weight = np.ascontiguousarray(np.moveaxis(kernel, (-1, -2), (0, 1)))
        constants.append(numpy_helper.from_array(weight, f"weight{number}"))
        nodes.append(_node(step, inputs, [name, f"weight{number}"], f"y{number}"))
        name = f"y{number}"
    nodes.append(helper.make_node("Transpose", [name], ["y"], perm=[0, *range(2, rank + 2), 1]))
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, task.x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * (rank + 2))],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def _node(step: PeerConvolution, inputs: int, names: list[str], result: str) -> Any:
    pads = [low for low, _ in step.pads] + [high for _, high in step.pads]
    how = {"strides": step.strides, "dilations": step.dilations, "group": step.groups, "pads": pads}
    if not step.transposed:
        return helper.make_node("Conv", names, [result], **how)
    extra = step.output_padding(inputs)
    if not 0 <= extra < max(step.strides[0], step.dilations[0]):
        raise UnsupportedByPeerError("ConvTranspose does not take this output padding")
    return helper.make_node("ConvTranspose", names, [result], output_padding=[extra], **how)
