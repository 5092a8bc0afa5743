"""All directions of a problem by one formulation, for those who measure it or check it."""

from __future__ import annotations

from xconv.backend import Backend
from xconv.call import Call
from xconv.formulation import Formulation
from xconv.layouts import LAYOUTS
from xconv.lowering import Lowering
from xconv.plan import Choice, Plan
from xconv.problem import ConvProblem
from xconv.target import Target


def by_formulation(backend: Backend, form: Formulation) -> Lowering:
    """The lowering of a plan that nobody chose: every direction by this formulation, for :meth:`Backend.run`."""
    choice = Choice(form.name, "named", source="named")
    call = Call("conv1d", LAYOUTS["NWC"], ConvProblem(1, 1, 1, 1, 1, kernel=1), 1)
    return Lowering(Plan(call, Target(backend.name), choice, choice, choice, by_framework=True), backend)
