"""The frameworks: which are there, and how they are set, in this process or in a fresh one."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from importlib.metadata import PackageNotFoundError, requires
from typing import Any

from xconv.core import registry
from xconv.doctor.found import Framework
from xconv.doctor.machine import installed_version, openmp_runtimes
from xconv.system.errors import BackendError


def module_of(name: str) -> str:
    """The module with a backend's settings and own ops, or nothing: a stranger's backend has none here."""
    module = f"xconv.doctor.on_{name}"
    return module if importlib.util.find_spec(module) is not None else ""


def look(name: str, module: str) -> dict[str, Any]:
    """How a backend is set in this process; its framework is imported if it was not. Nothing is changed."""
    backend = registry.get_backend(name)
    ways: Any = importlib.import_module(module) if module else None
    threads = getattr(ways, "threads", backend.threads)
    return {
        "version": backend.version(),
        "devices": backend.devices(),
        "modes": list(backend.modes),
        "threads": threads(),
        "openmp": list(openmp_runtimes()),
        "settings": {} if ways is None else ways.settings(),
    }


def known() -> list[str]:
    """Every registered backend, torch first."""
    names = {*registry._SPECS, *registry._BROKEN}
    return sorted(names, key=lambda name: (name != registry.DEFAULT, name))


def absent(name: str) -> Framework | None:
    """What can be said of a backend that is not installed or not importable, or None: it is worth loading."""
    if name in registry._BROKEN:
        return Framework(name, "broken", detail=f"registered but could not be loaded: {registry._BROKEN[name]}")
    spec = registry._SPECS[name]
    return None if spec.installed() else Framework(name, "not installed", detail=spec.install)


def is_loaded(name: str) -> bool:
    """Whether this process has imported a backend's framework already."""
    return registry._SPECS[name].requires in sys.modules


def described(name: str, about: dict[str, Any], process: str) -> Framework:
    """What :func:`look` found, as a value."""
    version = about.get("version") or installed_version(registry._SPECS[name].requires)
    if "error" in about:
        return Framework(name, "broken", version, str(about["error"]))
    return Framework(
        name,
        "ready",
        version,
        process="this" if process == "this" else "fresh",
        devices=tuple(about["devices"]),
        threads=about["threads"],
        openmp=tuple(about["openmp"]),
        settings=about["settings"],
    )


def reason(error: Exception) -> str:
    """Why something failed: the kind and the first line of an error, or of what a backend's error came from.

    >>> reason(ValueError("no such thing\\nat all"))
    'ValueError: no such thing'
    """
    if isinstance(error, BackendError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    text = re.sub(r"\{\{function_node .*?\}\} | \[Op:.*", "", str(error))  # TensorFlow's, of no use to a reader
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]


def oldest(name: str) -> str | None:
    """The oldest version of a backend's framework that xconv supports, as its own metadata says.

    >>> oldest("torch")
    '2.9'
    """
    from packaging.requirements import Requirement

    try:
        wanted = requires("xconv") or []
    except PackageNotFoundError:  # run from its source
        return None
    spec = registry._SPECS.get(name)
    package = spec.requires if spec else name
    stated = [limit for one in map(Requirement, wanted) if one.name == package for limit in one.specifier]
    return next((limit.version for limit in stated if limit.operator == ">="), None)


def is_older(version: str, than: str) -> bool:
    """Whether a version is before another; of one that is none as Python packages have it, nothing is known.

    >>> is_older("2.10.1+cpu", "2.9"), is_older("2.8.1", "2.9"), is_older("2.9.0rc1", "2.9"), is_older("mine", "2.9")
    (False, True, True, False)
    """
    from packaging.version import InvalidVersion, Version

    try:
        return Version(version) < Version(than)
    except InvalidVersion:
        return False
