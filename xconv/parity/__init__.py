"""Parity: do two frameworks compute the same? Cases, checks, and a report."""

from xconv.parity.cases import Case, cases
from xconv.parity.check import Finding, check
from xconv.parity.report import ParityReport, Row, run

__all__ = ["Case", "Finding", "ParityReport", "Row", "cases", "check", "run"]
