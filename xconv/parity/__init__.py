"""Parity: do two frameworks compute the same? Cases, checks, and a report."""

from xconv.parity.cases import Case, cases
from xconv.parity.check import Finding, check
from xconv.parity.diagnosis import Diagnosis, diagnose_arrays, diagnose_case
from xconv.parity.report import ParityReport, Row, run

__all__ = [
    "Case",
    "Diagnosis",
    "Finding",
    "ParityReport",
    "Row",
    "cases",
    "check",
    "diagnose_arrays",
    "diagnose_case",
    "run",
]
