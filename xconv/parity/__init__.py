"""Parity: do two frameworks compute the same? Cases, checks, and a report."""

from xconv.parity.cases import Case, cases
from xconv.parity.check import Finding, check
from xconv.parity.report import ParityReport
from xconv.parity.running import MODES, run
from xconv.parity.task import Row, Task

__all__ = ["MODES", "Case", "Finding", "ParityReport", "Row", "Task", "cases", "check", "run"]
