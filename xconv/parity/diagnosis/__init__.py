"""Why two arrays differ: named causes are tried, and one that fits is said no more certainly than it is."""

from xconv.parity.diagnosis.sentences import Diagnosis, diagnose_arrays, diagnose_case

__all__ = ["Diagnosis", "diagnose_arrays", "diagnose_case"]
