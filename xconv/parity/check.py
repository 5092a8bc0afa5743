"""Run a case on a backend and compare it with the reference: exactly, or against the derived bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from xconv.core.reference import Floats
from xconv.core.target import EAGER
from xconv.parity.cases import Case
from xconv.parity.comparison import Finding, compare
from xconv.parity.diagnosis import diagnose_case
from xconv.parity.expected import expected
from xconv.parity.trust import distrust
from xconv.parity.views import VIEWS
from xconv.planning.choices import with_borders_in_array
from xconv.planning.planner import plan

if TYPE_CHECKING:
    from xconv.core.backend import Backend


Function: TypeAlias = Callable[..., Any]


def check(
    backend: Backend,
    case: Case,
    *,
    kind: str = "normal",
    dtype: str = "float32",
    device: str = "cpu",
    mode: str = "eager",
    formulation: str = "auto",
    gradients: bool = True,
    seed: int = 0,
    view: str = "contiguous",
    run: Function | None = None,
) -> list[Finding]:
    """Compare the result of a case, and its gradients, with the reference.

    With ``kind="integers"`` every sum is exact and the comparison is bit for bit; with ``"normal"`` it is against the
    bound of :mod:`xconv.bounds`. ``view`` is how the inputs lie in memory (:data:`xconv.parity.views.VIEWS`); ``run``
    is what ``function`` in this module gives, where it was compiled before.

    >>> import xconv
    >>> from xconv.parity import Case
    >>> case = Case("mine", "conv1d", (2, 17, 3), ((3, 3, 5),), {"stride": 2, "padding": "same"})
    >>> [(found.array, found.verdict) for found in check(xconv.get_backend("torch"), case, kind="integers")]
    [('y', 'exact'), ('dbias', 'exact'), ('dweight', 'exact'), ('dx', 'exact')]
    """
    inputs = case.inputs(kind, dtype, seed)
    run = function(backend, case, mode, formulation) if run is None else run
    computed = compute(backend, case, inputs, dtype, device, run, gradients, view)
    lengths = transforms(backend, case, dtype, device, formulation, mode)
    findings = []
    for name, wanted in expected(case, inputs, dtype, gradients, kind, lengths).items():
        finding = compare(name, computed[name], wanted, dtype, exactly=kind == "integers")
        # of no products the sum is zero, and nothing else would be right
        if finding.ok and 0 not in case.x_shape and (reason := distrust(wanted.value)):
            finding = replace(finding, verdict="mistrusted", detail=reason)
        elif not finding.ok:
            finding = replace(finding, diagnosis=_explained(case, name, computed[name], inputs, dtype, kind, lengths))
        findings.append(finding)
    return findings


def _explained(
    case: Case,
    array: str,
    computed: Floats,
    inputs: Sequence[Floats],
    dtype: str,
    kind: str,
    lengths: Sequence[dict[str, int]],
) -> str:
    return str(diagnose_case(case, array, computed, inputs, dtype, kind, lengths))


def transforms(
    backend: Backend, case: Case, dtype: str, device: str, formulation: str, mode: str = "eager"
) -> list[dict[str, int]]:
    """The lengths of the Fourier transforms by which each call's directions are computed; no entry for sums."""
    execution = backend.mode_execution.get(mode, EAGER)
    found: list[dict[str, int]] = []
    for call in case.calls():
        found.append({})
        if call.vertical is not None or not call.problem.is_static:
            continue
        known = replace(call, problem=replace(call.problem, dtype=dtype))
        planned = plan(known, backend=backend.name, device=device, execution=execution, formulation=formulation)
        for direction, choice in planned.choices.items():
            form = backend.by_name[choice.formulation]
            length = form.transform_length(direction, with_borders_in_array(known.problem))
            if length:
                found[-1][direction] = length
    return found


def function(backend: Backend, case: Case, mode: str = "eager", formulation: str = "auto") -> Function:
    """A case as a function of a backend's arrays, under one of its compilers or as it is."""
    how = {} if formulation == "auto" else {"formulation": formulation}

    def run(*arrays: Any) -> Any:
        return case.run(*arrays, **how)

    return run if mode == "eager" else backend.compiled(run, mode)


def compute(
    backend: Backend,
    case: Case,
    inputs: Sequence[Floats],
    dtype: str,
    device: str = "cpu",
    run: Function | None = None,
    gradients: bool = True,
    view: str = "contiguous",
) -> dict[str, Floats]:
    """The result of a case on a backend and its gradients, by name, as float64.

    Args:
        backend: what computes.
        case: operation, shapes and options.
        inputs: float64: x, the weights, the bias if the case has one, and the gradient for the result, in the shapes of
            :meth:`Case.inputs`.
        dtype: in which they are computed.
        device: on which.
        run: what is called in place of the operation, such as what a compiler made of it.
        gradients: whether they are computed too.
        view: how the arrays lie in memory.

    Returns:
        "y", "dx", "dweight" and so on, each of the shape of its array.

    Raises:
        TypeError: an array came back with another dtype.
    """
    *tensors, cotangent = (_tensor(backend, array, dtype, device, view) for array in inputs)
    run = function(backend, case) if run is None else run
    with backend.exact_float32():
        arrays = {"y": run(*tensors)}
        if gradients:
            names = [f"d{name}" for name in ("x", *case.weight_names, *(["bias"] if case.bias else []))]
            arrays.update(zip(names, backend.gradients(run, tensors, cotangent), strict=True))
    for name, array in arrays.items():
        if backend.dtype(array) != dtype:
            raise TypeError(f"{case.name}: {name} came back as {backend.dtype(array)}, not {dtype}")
    return {name: backend.to_numpy(backend.cast(array, "float64")) for name, array in arrays.items()}


def _tensor(backend: Backend, array: Floats, dtype: str, device: str, view: str) -> Any:
    if view == "contiguous" or dtype == "bfloat16":  # NumPy has no bfloat16 of its own
        return backend.cast(backend.from_numpy(VIEWS[view](array), device), dtype)
    return backend.from_numpy(VIEWS[view](array.astype(dtype)), device)
