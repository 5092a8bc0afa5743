"""What a claim is, and how it is decided: by trials, never by anybody's word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["true", "false", "depends", "not measured", "failed"]

SOURCE = "an article on Conv1D against Conv2D in Keras"


@dataclass(frozen=True)
class Trial:
    """One setting in which a claim is tried.

    Attributes:
        setting: shapes and options, in words.
        claimed: what the claim says there.
        found: what came out.
        holds: whether they are the same; None where the measurement decides nothing.
    """

    setting: str
    claimed: str
    found: str
    holds: bool | None


@dataclass(frozen=True)
class ClaimOutcome:
    """What came out: trials, the verdict that follows from them, and a sentence with the numbers.

    Attributes:
        trials: each setting that was tried.
        sentence: what came out, with the numbers.
        error: why the claim could not be tried, or "".
    """

    trials: tuple[Trial, ...]
    sentence: str
    error: str = ""

    @property
    def verdict(self) -> Verdict:
        """As :func:`judged`; "failed" where the claim could not be tried."""
        return "failed" if self.error else judged(self.trials)

    @property
    def count(self) -> str:
        """In how many of the trials that decide something the claim holds."""
        decided = [trial for trial in self.trials if trial.holds is not None]
        return f"{sum(bool(trial.holds) for trial in decided)} of {len(decided)}" if decided else ""


@dataclass(frozen=True)
class Asked:
    """Which backends a claim is tried on, and whether what takes long is measured.

    Attributes:
        backends: their names.
        measure: whether to run the benchmarks, which take minutes.
        progress: is called with a text at each step, or None.
    """

    backends: tuple[str, ...] = ()
    measure: bool = False
    progress: Callable[[str], None] | None = None


@dataclass(frozen=True)
class Claim:
    """A claim in our words, where it is from, and the function that tries it.

    Attributes:
        id: the name that ``--only`` takes.
        statement: a sentence.
        check: the function that tries it.
        source: where it is from.
        measured: whether it takes a benchmark.
    """

    id: str
    statement: str
    check: Callable[[Asked], ClaimOutcome]
    source: str = SOURCE
    measured: bool = False

    @property
    def command(self) -> str:
        """The command that tries it here."""
        return f"xconv claims --only {self.id}{' --measure' if self.measured else ''}"

    def to_dict(self, finding: ClaimOutcome) -> dict[str, Any]:
        """The claim and its finding as JSON has them.

        Args:
            finding: what came out of it.

        Returns:
            Texts, lists and dictionaries.
        """
        return {
            "id": self.id,
            "statement": self.statement,
            "source": self.source,
            "verdict": finding.verdict,
            "sentence": finding.sentence,
            "evidence": [vars(trial) for trial in finding.trials],
            "error": finding.error,
            "command": self.command,
        }


def judged(trials: Sequence[Trial]) -> Verdict:
    """True if a claim holds in every trial, false if in none, else it depends; trials that decide nothing are left out.

    >>> judged([Trial("k = 3", "faster", "1.2 times", True), Trial("k = 5", "faster", "0.9 times", False)])
    'depends'
    >>> judged([Trial("k = 3", "faster", "noise", None)])
    'not measured'
    """
    held = {trial.holds for trial in trials} - {None}
    if not held:
        return "not measured"
    return "depends" if len(held) > 1 else ("true" if True in held else "false")


def differing(one: Any, other: Any) -> int | None:
    """How many elements of two arrays differ in any bit; None if their shapes differ.

    >>> import numpy as np
    >>> differing(np.zeros(3), np.array([0.0, -0.0, 1.0]))
    2
    """
    import numpy as np

    if one.shape != other.shape or one.dtype != other.dtype:
        return None
    size = one.dtype.itemsize
    bits = [np.ascontiguousarray(each).view(np.uint8).reshape(-1, size) for each in (one, other)]
    return int((bits[0] != bits[1]).any(axis=1).sum())


def told(different: int | None, of: int) -> str:
    """What :func:`differing` found, in words."""
    return "another shape" if different is None else f"{different:,} of {of:,} numbers differ"
