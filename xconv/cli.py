"""The command line: ``xconv bench``, ``xconv explain``, ``xconv parity``, and the others."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import xconv
from xconv.commands import advise, bench, claims, doctor, explain, parity
from xconv.commands import tune as tuning

DONE, WRONG_USE = 0, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, and print what it finds.

    Args:
        argv: the words behind ``xconv``; by default those of the process.

    Returns:
        The exit code: 0 for yes, 1 for no, 2 for wrong use, 130 if it was interrupted.

    Raises:
        SystemExit: the words are no command and its options (2), or ask for help or the version (0).
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except xconv.XconvError as error:
        print(f"xconv {arguments.command}: {error}", file=sys.stderr)
        return WRONG_USE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="xconv", description="1-D convolutions, one interface, every framework.")
    parser.add_argument("--version", action="version", version=f"xconv {xconv.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    bench.add(commands)
    explain.add(commands)
    parity.add(commands)
    tuning.add(commands)
    doctor.add(commands)
    advise.add(commands)
    claims.add(commands)

    backends = commands.add_parser("backends", help="list the installed backends, their versions and devices")
    backends.add_argument("--json", action="store_true", help="as JSON")
    backends.set_defaults(run=_backends)
    return parser


def _backends(arguments: argparse.Namespace) -> int:
    from tabulate import tabulate

    found = []
    for name in sorted(xconv.backends(), key=lambda name: name != "torch"):
        try:
            backend = xconv.get_backend(name)
        except xconv.BackendError as error:
            found.append({"backend": name, "version": f"does not load: {error}", "devices": [], "formulations": []})
            continue
        found.append(
            {
                "backend": name,
                "version": backend.version(),
                "devices": backend.devices(),
                "formulations": [formulation.name for formulation in backend.formulations],
            }
        )
    if arguments.json:
        print(json.dumps(found))
    else:
        rows = [[", ".join(v) if isinstance(v, list) else v for v in row.values()] for row in found]
        print(tabulate(rows, ["backend", "version", "devices", "formulations"]))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
