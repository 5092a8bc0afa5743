"""What is known of a backend before the suite runs: what to leave out, what is known to fail, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from xconv.system.errors import ArgumentError

if TYPE_CHECKING:
    import pytest


@dataclass(frozen=True)
class Expectations:
    """Patterns for the names of tests, as a shell has them: ``*`` is anything, ``?`` one letter.

    ``include``: only these; ``exclude``: not these, and why; ``gaps``: these are known to fail, and why. A gap that no
    longer fails is a failure, and so is a pattern that no test has: neither is left lying about.
    """

    include: Sequence[str] = ("*",)
    exclude: Mapping[str, str] = field(default_factory=dict)
    gaps: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def read(file: str | Path) -> Expectations:
        """From a JSON file, which is not trusted; what it leaves out is as by default.

        Raises:
            ArgumentError: it cannot be read, or is not of this form.
        """
        from xconv.system.validated import parsed, validated

        try:
            said = parsed(Path(file).read_bytes())
            found = validated(Expectations, {**asdict(Expectations()), **said} if isinstance(said, dict) else said)
            found.check()
        except (OSError, ValueError) as error:
            wanted = '{"include": [pattern], "exclude": {pattern: reason}, "gaps": {pattern: reason}}'
            raise ArgumentError("conformance", "file", f"{file} ({error})", wanted) from None
        return found

    def check(self) -> None:
        """Refuse what is no list of texts, or has no reason.

        Raises:
            ValueError: which part is wrong.
        """
        if not isinstance(self.include, (list, tuple)) or not all(isinstance(one, str) for one in self.include):
            raise ValueError("include is no list of patterns")
        for name, reasons in (("exclude", self.exclude), ("gaps", self.gaps)):
            for pattern, reason in reasons.items():
                if not isinstance(reason, str) or not reason.strip():
                    raise ValueError(f"{name}: {pattern!r} has no reason")

    def to_json(self) -> str:
        """For a file."""
        return json.dumps({"include": list(self.include), "exclude": dict(self.exclude), "gaps": dict(self.gaps)})

    def apply(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Take tests out of a collection, and mark those that are known to fail.

        Raises:
            pytest.UsageError: a pattern that no test has.
        """
        import pytest

        ours = [item for item in items if "xconv/testing/suite" in item.path.as_posix()]
        unused = {*self.exclude, *self.gaps, *(one for one in self.include if one != "*")}
        left_out = []
        for item in ours:
            excluded = self._first(self.exclude, item.name, unused)
            included = self._first(dict.fromkeys(self.include, ""), item.name, unused)
            gap = self._first(self.gaps, item.name, unused)
            if excluded is not None or included is None:
                left_out.append(item)
            elif gap is not None:
                item.add_marker(pytest.mark.xfail(strict=True, reason=self.gaps[gap]))
        if unused and ours:
            raise pytest.UsageError(f"--xconv-conformance: no test is called {sorted(unused)[0]!r}")
        out = set(map(id, left_out))
        items[:] = [item for item in items if id(item) not in out]
        config.hook.pytest_deselected(items=left_out)

    @staticmethod
    def _first(patterns: Mapping[str, str], name: str, unused: set[str]) -> str | None:
        found = [pattern for pattern in patterns if fnmatchcase(name, pattern.replace("[", "[[]"))]
        unused.difference_update(found)
        return found[0] if found else None
