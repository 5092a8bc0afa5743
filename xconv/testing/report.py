"""What a comparison found."""

from __future__ import annotations

from dataclasses import dataclass, field

from tabulate import tabulate

OK = ("exact", "within bound")


class ParityError(AssertionError):
    """Two callables do not agree, or their agreement proves nothing. ``parity`` holds what was found.

    Args:
        parity: what was found.

    >>> import numpy as np
    >>> from xconv.testing import assert_parity
    >>> x = np.random.default_rng(0).standard_normal((4, 9)).astype("float32")
    >>> try:
    ...     assert_parity(lambda x: np.tanh(x), lambda x: np.tanh(x) * np.float32(1.001), x)
    ... except ParityError as error:
    ...     print(error.parity.ok)
    False
    """

    def __init__(self, parity: Parity) -> None:
        super().__init__(str(parity))
        self.parity = parity

    def __reduce__(self) -> tuple[type[ParityError], tuple[Parity]]:
        return type(self), (self.parity,)


@dataclass(frozen=True)
class ComparedArray:
    """One array, compared.

    Attributes:
        array: the result, or the gradient of which input.
        verdict: "exact", "within bound", "MISMATCH", "error" (it could not be computed) or "mistrusted" (it agrees, and
            that proves nothing).
        error: the largest distance between the two.
        bound: how far they may be apart at ``place``.
        ratio: the largest distance over its own bound.
        place: the index of the element with that ratio.
        detail: what is to be told beside.
    """

    array: str
    verdict: str
    error: float = 0.0
    bound: float = 0.0
    ratio: float = 0.0
    place: tuple[int, ...] = ()
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether it agrees, and that proves something."""
        return self.verdict in OK


@dataclass
class Parity:
    """All arrays of a comparison. Prints as a table, and what is wrong under it.

    Attributes:
        f, g: the names of the two.
        rows: one an array.
        method: how the bounds were derived.
        versions: of the frameworks that computed.
        flags: their settings.
        seed: of the moved numbers and the cotangents.
        notes: what could not be done.
        layers: where two models depart.
        mistrusted_allowed: whether "mistrusted" passes.
    """

    f: str
    g: str
    rows: list[ComparedArray] = field(default_factory=list)
    method: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    flags: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    notes: list[str] = field(default_factory=list)
    layers: str = ""
    mistrusted_allowed: bool = False

    @property
    def ok(self) -> bool:
        """Whether every array agrees, and there is one."""
        allowed = (*OK, "mistrusted") if self.mistrusted_allowed else OK
        return bool(self.rows) and all(row.verdict in allowed for row in self.rows)

    def properties(self) -> dict[str, str]:
        """Names and values for a test report, for example for pytest's ``record_property``.

        Returns:
            Texts by names.

        >>> Parity("a", "b", [ComparedArray("result", "exact")]).properties()["result verdict"]
        'exact'
        """
        found = {"f": self.f, "g": self.g, "method": self.method, "seed": str(self.seed)}
        for row in self.rows:
            found[f"{row.array} verdict"] = row.verdict
            for name in ("error", "bound", "ratio"):
                found[f"{row.array} {name}"] = f"{getattr(row, name):.6g}"
        found.update({f"version of {name}": value for name, value in self.versions.items()})
        found.update({f"flag {name}": value for name, value in self.flags.items()})
        return found

    def __str__(self) -> str:
        lines = [
            [row.array, row.verdict, f"{row.error:.3g}", f"{row.bound:.3g}", f"{row.ratio:.3g}", _at(row.place)]
            for row in self.rows
        ]
        headers = ["array", "verdict", "error", "bound", "ratio", "at"]
        parts = [f"f: {self.f}; g: {self.g}"]
        parts.append(tabulate(lines, headers, tablefmt="simple", disable_numparse=True))
        parts += [f"{row.array}: {row.detail}" for row in self.rows if not row.ok and row.detail]
        if self.layers:
            parts.append(self.layers)
        if self.method:
            parts.append(f"bounds: {self.method}")
        parts += [f"note: {note}" for note in dict.fromkeys(self.notes)]
        parts.append(", ".join(f"{name} {version}" for name, version in self.versions.items()) + f"; seed {self.seed}")
        return "\n".join(parts)


def _at(place: tuple[int, ...]) -> str:
    return str(place) if place else ""
