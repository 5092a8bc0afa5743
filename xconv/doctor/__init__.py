"""What is installed here, how it is set, and what each framework can really do: ``xconv doctor``."""

from xconv.doctor.examination import examine
from xconv.doctor.found import Allocator, Cell, DoctorAdvice, DoctorReport, Framework, Machine, Wisdom, read

__all__ = ["Allocator", "Cell", "DoctorAdvice", "DoctorReport", "Framework", "Machine", "Wisdom", "examine", "read"]
