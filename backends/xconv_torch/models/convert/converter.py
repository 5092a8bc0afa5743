"""2-D torch models to 1-D: traced, rewritten node by node, and proven."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx, nn

from xconv.models.conversion import Conversion, Options, Report, Step, channel_map
from xconv.models.reach import Reach
from xconv.models.rows import Band
from xconv.system.errors import ArgumentError
from xconv_torch.models.convert.program import AxisInChannels, Form, Line, NodeValue, Value, mapped
from xconv_torch.models.convert.proof import Proving
from xconv_torch.models.convert.rules import rule_of
from xconv_torch.models.convert.tracing import Traced, traced
from xconv_torch.models.convert.walk import RunningConversion, step

TWO_DIMENSIONAL = (
    nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d,
    nn.BatchNorm2d, nn.Upsample, nn.PixelShuffle,
)  # fmt: skip


def to_1d(model: nn.Module, options: Options) -> Conversion:
    """A new 1-D model and the report on it; see :func:`xconv.to_1d`.

    Raises:
        ArgumentError: the model cannot be traced, is not 2-D, does not take such images, or layers are refused.
    """
    lazy = [path for path, layer in model.named_modules() if isinstance(layer, nn.modules.lazy.LazyModuleMixin)]
    if lazy:
        raise _refused(
            "model", f"one with lazy layers ({', '.join(lazy)})", "a built model", "call it once on an image"
        )
    if model.__module__.startswith("torch.nn") and not isinstance(model, nn.Sequential):
        training, model = model.training, nn.Sequential(model)
        model.training = training
    walk, made, output = rewritten(model, options)
    _warn(walk, model)
    reach = Reach.largest(value.reach for value in walk.values.values() if value.is_tensor)
    report = Report(options, walk.steps, walk.warnings, receptive_field=reach.receptive_field(options.axis))
    report.prove = Proving(model, made, walk, output, report, lambda model: rewritten(model, options)[1]).run
    return Conversion(made, report)


def rewritten(model: nn.Module, options: Options) -> tuple[RunningConversion, fx.GraphModule, Any]:
    """The walk through a model, the new model, and the values of its output.

    Raises:
        ArgumentError: as :func:`to_1d`.
    """
    found = traced(model)
    _check_2d(found)
    walk = RunningConversion(found, options)
    walk.head = _last_layer(found) if options.head is not None else None
    output = _rewrite(walk)
    refusals = [one for one in walk.steps if one.verdict == "refused"]
    if refusals:
        got = f"{len(refusals)} layer{'s' * (len(refusals) > 1)} without an exact 1-D counterpart"
        raise _refused("model", got, "layers with one", f"reason by reason:{_listed(refusals)}")
    return walk, _module(walk, model), output


def _listed(refusals: list[Step]) -> str:
    """Each reason with its layers."""
    text = ""
    for reason in dict.fromkeys(one.condition for one in refusals):
        layers = "".join(f"\n    {one.path}, {one.layer}" for one in refusals if one.condition == reason)
        text += f"\n  {reason}:{layers}"
    return text


def _refused(argument: str, got: str, expected: str, hint: str) -> ArgumentError:
    return ArgumentError("to_1d", argument, got, expected, hint)


def _check_2d(found: Traced) -> None:
    """Whether there is anything two-dimensional in a model."""
    inputs = [node for node in found.graph.nodes if node.op == "placeholder"]
    needed = [node for node in inputs if not node.args]
    if len(needed) != 1:
        names = ", ".join(str(node.target) for node in needed)
        raise _refused("model", f"one with {len(needed)} inputs ({names})", "one image as input", "wrap it")
    for node in found.graph.nodes:
        if node.op == "call_module" and isinstance(found.module.get_submodule(str(node.target)), TWO_DIMENSIONAL):
            return
        if node.op == "call_function" and getattr(node.target, "__name__", "").endswith("2d"):
            return
    raise _refused("model", "one without 2-D layers", "a 2-D network", "it may be one-dimensional already")


def _rewrite(walk: RunningConversion) -> Any:
    """Walk through the graph; the values of its output."""
    output: Any = None
    for node in walk.traced.graph.nodes:
        if node.op == "placeholder":
            walk.values[node] = _placeholder(walk, node)
        elif node.op == "get_attr":
            walk.values[node] = _attribute(walk, str(node.target))
        elif node.op == "output":
            output = walk.values_of(node.args[0])
            walk.program.graph.output(mapped(output, lambda v: v.cell.node if isinstance(v, Value) else v))
        else:
            step(walk, node, lambda call: rule_of(walk, call))
    return output


def _placeholder(walk: RunningConversion, node: fx.Node) -> Value:
    if node.args:
        return Value(node.args[0], NodeValue(node.args[0], node.args[0]))
    options = walk.options
    like = like_of(walk.traced.module)
    channels, length = options.input_shape
    wanted = image_channels(walk)
    given = channels
    if options.embedding == "folded":
        if channels % options.size:
            raise _refused("size", str(options.size), f"a divisor of the signal's {channels} channels", "")
        given = channels // options.size
    if options.embedding == "raster" and length % options.size:
        raise _refused("size", str(options.size), f"a divisor of the length {length}", "it is the number of lines")
    if wanted is not None and wanted != given:
        if options.channels == "same":
            raise _refused(
                "input_shape",
                f"{options.input_shape}, {given} channels",
                f"{wanted}, as the image of the 2-D model has",
                "channels='mean', 'repeat' or 'new' adapts the first convolution",
            )
        walk.matrix = channel_map(options.channels, wanted, given)
    generator = torch.Generator().manual_seed(0)
    signal = torch.randn(2, channels, length, generator=generator).to(like)
    image = torch.from_numpy(walk.images(signal.cpu().double().numpy())).to(signal)
    cell = walk.program.input(str(node.target), signal)
    if walk.matrix is not None:
        walk.raw.add(cell.node)
    form: Form = Line(walk.axis, Band.full(image.shape[walk.axis]))
    if options.embedding == "folded":
        form = AxisInChannels(walk.axis, options.size)
    return Value(image, cell, form)


def like_of(module: nn.Module) -> torch.Tensor:
    """A tensor of the model's dtype and on its device."""
    tensors = (*module.parameters(), *module.buffers())
    return next((tensor for tensor in tensors if tensor.is_floating_point()), torch.zeros(()))


def image_channels(walk: RunningConversion) -> int | None:
    """The channels of the image, from the first convolution or norm."""
    for node in walk.traced.graph.nodes:
        if node.op == "call_module":
            module = walk.original_module(str(node.target))
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                return module.in_channels
            if isinstance(module, (nn.BatchNorm2d, nn.InstanceNorm2d)):
                return module.num_features
        if node.op == "call_function" and getattr(node.target, "__name__", "") == "conv2d":
            owner, _, name = str(node.args[1].target).rpartition(".")
            if node.args[1].op != "get_attr":
                return None
            groups = node.kwargs.get("groups", node.args[6] if len(node.args) > 6 else 1)
            return int(getattr(walk.original_module(owner), name).shape[1] * groups)
    return None


def _attribute(walk: RunningConversion, path: str) -> Value:
    owner, _, name = path.rpartition(".")
    original = getattr(walk.original_module(owner), name)
    new = original
    if isinstance(original, nn.Parameter):
        new = nn.Parameter(original.detach().clone(), original.requires_grad)
        shape = f"Parameter of shape {tuple(original.shape)}"
        if all(one.path != path for one in walk.steps):
            walk.steps.append(Step(path, shape, shape, "copy", "exact", "", (new.numel(), new.numel())))
    elif isinstance(original, torch.Tensor):
        new = original.detach().clone()
    if any(node.op == "call_module" and node.target == owner for node in walk.traced.graph.nodes):
        walk.warnings.append(f"{path} is also used outside its layer: that is a copy of its own now")
        path = f"{owner}_{name}"
    return Value(original, walk.program.attribute(path, new))


def _last_layer(found: Traced) -> fx.Node:
    """The last dense layer or 1x1 convolution, behind which there are no weights."""
    for node in reversed(found.graph.nodes):
        if node.op == "call_module":
            module = found.module.get_submodule(str(node.target))
            if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and set(module.kernel_size) == {1}):
                return node
            if any(True for _ in module.parameters()):
                break
    raise _refused(
        "head", "a number", "nothing: the model ends in no Linear or 1x1 Conv2d", "add the head to the result"
    )


def _module(walk: RunningConversion, model: nn.Module) -> fx.GraphModule:
    """The new model, in the modes of the old one."""
    made = fx.GraphModule(walk.program.modules, walk.program.graph, class_name=f"{type(model).__name__}1d")
    # sizes that nobody reads any more; what works in place is read by nobody and yet has an effect
    made.graph.eliminate_dead_code(lambda node: not _is_idle(node))
    made.delete_all_unused_submodules()
    made.graph.lint()
    made.recompile()
    modes = {path: module.training for path, module in model.named_modules()}
    for path, module in made.named_modules():
        known = path
        while known not in modes:
            known = known.rpartition(".")[0]
        module.training = modes[known]
    return made


def _is_idle(node: fx.Node) -> bool:
    return node.target in ("size", getattr, operator.getitem, operator.mul, operator.floordiv)


def _warn(walk: RunningConversion, model: nn.Module) -> None:
    for path in walk.traced.forks:
        text = "does something else in training, which the new model does not: it does what it did in inference"
        walk.warnings.append(f"{path or 'the model'} {text}")
    for path, module in model.named_modules():
        if nn.utils.parametrize.is_parametrized(module):
            walk.warnings.append(f"{path}: its parametrization is not kept, only the weights that it makes")
        elif module._forward_hooks or module._forward_pre_hooks:
            walk.warnings.append(f"{path or 'the model'}: its hooks are not kept")
    if walk.raster:
        size = walk.options.size
        line = walk.options.input_shape[1] // size
        walk.warnings.append(
            f"vertical neighbours of the image lie {line} apart in the signal: the result is heuristic"
        )
