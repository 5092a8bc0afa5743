"""All directions of a problem by one formulation, for those who measure it or check it."""

from __future__ import annotations

from xconv.core.backend import Backend
from xconv.core.call import Call
from xconv.core.formulation import Formulation
from xconv.core.layouts import LAYOUTS
from xconv.core.lowering import Lowering
from xconv.core.plan import DirectionPlan, Plan
from xconv.core.problem import ConvProblem
from xconv.core.target import Target


def by_formulation(backend: Backend, form: Formulation) -> Lowering:
    """The lowering of a plan that nobody chose: every direction by this formulation, for :meth:`Backend.run`."""
    choice = DirectionPlan(form.name, "named", source="named")
    call = Call("conv1d", LAYOUTS["NWC"], ConvProblem(1, 1, 1, 1, 1, kernel=1), 1)
    return Lowering(Plan(call, Target(backend.name), choice, choice, choice, by_framework=True), backend)
