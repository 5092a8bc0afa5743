"""Parity: do two frameworks compute the same? Cases, checks, diagnosis, and a report."""

from xconv.parity.cases import Case, cases
from xconv.parity.check import check
from xconv.parity.comparison import Finding
from xconv.parity.diagnosis import Diagnosis, diagnose_arrays, diagnose_case
from xconv.parity.report import ParityReport
from xconv.parity.running import MODES, run
from xconv.parity.task import Row, Task

__all__ = [
    "MODES",
    "Case",
    "Diagnosis",
    "Finding",
    "ParityReport",
    "Row",
    "Task",
    "cases",
    "check",
    "diagnose_arrays",
    "diagnose_case",
    "run",
]
