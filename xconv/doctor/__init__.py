"""What is installed here, how it is set, and what each framework can really do: ``xconv doctor``."""

from xconv.doctor.examination import examine
from xconv.doctor.found import Advice, Allocator, Cell, Framework, Machine, Report, Wisdom, read

__all__ = ["Advice", "Allocator", "Cell", "Framework", "Machine", "Report", "Wisdom", "examine", "read"]
