"""The command line: ``xconv parity``, ``xconv tune``, ``xconv doctor``, ``xconv backends``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import xconv
from xconv import doctor_command as doctor
from xconv import tuning_command as tuning
from xconv.files import write_whole

AGREE, DISAGREE, WRONG_USE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 0 for yes, 1 for no, 2 for wrong use."""
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

    parity = commands.add_parser(
        "parity",
        help="check that the backends compute the same",
        description="Compare every operation on every backend with a float64 reference: bit for bit on small integers, "
        "and against a derived error bound on random data. Exit code 0: all agree; 1: something differs; 2: wrong use, "
        "or a backend or device that is not there.",
    )
    parity.add_argument(
        "--backend", action="append", metavar="NAME", help="a backend (default: all installed); repeatable"
    )
    parity.add_argument("--device", action="append", metavar="NAME", help='"cpu", "cuda:0" (default: all); repeatable')
    parity.add_argument("--dtype", action="append", metavar="NAME", help="float32, ... (default: all four); repeatable")
    parity.add_argument("--tier", choices=["smoke", "default"], default="smoke", help="how many cases (default: smoke)")
    parity.add_argument("--compiled", action="store_true", help="also under torch.compile, tf.function and XLA")
    parity.add_argument("--seed", type=int, default=0, help="of the random inputs (default: 0)")
    parity.add_argument("--json", type=Path, metavar="FILE", help="write the whole report there")
    parity.set_defaults(run=_parity)

    tuning.add(commands)
    doctor.add(commands)

    backends = commands.add_parser("backends", help="list the installed backends, their versions and devices")
    backends.add_argument("--json", action="store_true", help="as JSON")
    backends.set_defaults(run=_backends)
    return parser


def _parity(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from xconv.parity import run

    if arguments.json and not arguments.json.resolve().parent.is_dir():
        raise xconv.ArgumentError("parity", "--json", str(arguments.json), "a file in a folder that exists")
    with tqdm(desc="checking", unit="case", leave=False, disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        report = run(
            arguments.backend,
            arguments.device,
            arguments.dtype,
            modes=("eager", "compiled") if arguments.compiled else ("eager",),
            cases=arguments.tier,
            seed=arguments.seed,
            progress=progress,
        )
    print(report)
    agreed = sum(row.ok for row in report.rows)
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    print(f"\n{agreed} of {len(report.rows)} results agree with the reference ({versions}).")
    if arguments.json:
        write_whole(arguments.json, report.to_json())
    return AGREE if report.ok else DISAGREE


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
    return AGREE


if __name__ == "__main__":
    sys.exit(main())
