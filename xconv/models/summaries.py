"""A network as a table: shapes, kernels, parameters, multiply-accumulates, receptive fields; two side by side."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

from tabulate import tabulate

from xconv.models.spec import Network, Resolved

HEADERS = ("layer", "output", "kernel", "parameters", "MACs", "receptive field")


@dataclass(frozen=True)
class Summary:
    """What :func:`summary` found; prints as a table."""

    networks: tuple[Network, ...]

    def rows(self, network: Network) -> list[tuple[str, ...]]:
        """A row for each layer, and the total."""
        found = [_row(one) for one in network.resolved]
        return [*found, ("total", "", "", f"{network.parameters:,}", f"{network.macs:,}", "")]

    def __str__(self) -> str:
        columns = [self.rows(network) for network in self.networks]
        nothing = ("",) * len(HEADERS)
        # the totals stand in one line, under the longer network
        layers = zip_longest(*(rows[:-1] for rows in columns), fillvalue=nothing)
        totals = tuple(rows[-1] for rows in columns)
        rows = [_joined(parts) for parts in (*layers, totals)]
        titles = [f"{network.name}, input {network.input_shape}" for network in self.networks]
        aligned = ["left", "left", "left", "right", "right", "left"]
        aligned = aligned if len(self.networks) == 1 else [*aligned, "left", *aligned]
        table = tabulate(rows, _joined((HEADERS,) * len(columns)), disable_numparse=True, colalign=aligned)
        return " | ".join(titles) + "\n" + table


def summary(network: Network, other: Network | None = None) -> Summary:
    """The layers of a network, or of two side by side; MACs are for one example.

    A receptive field is how many input elements along each axis one output element sees; a dense layer sees all.

    Args:
        network: whose layers are listed.
        other: shown beside it, or None.

    Returns:
        A table to print.

    >>> from xconv.models import Conv1D, Dense, Flatten
    >>> print(summary(Network("single", (20, 1), (Conv1D(32, 3, "relu"), Flatten(), Dense(10)))))
    single, input (20, 1)
    layer      output    kernel        parameters    MACs  receptive field
    ---------  --------  ----------  ------------  ------  -----------------
    conv1d_1   (18, 32)  (3, 1, 32)           128   1,728  3
    flatten_1  (576,)                           0       0  3
    dense_1    (10,)     (576, 10)          5,770   5,760  all
    total                                   5,898   7,488
    """
    return Summary((network,) if other is None else (network, other))


def _row(one: Resolved) -> tuple[str, ...]:
    kernel = "" if one.kernel_shape is None else str(one.kernel_shape)
    sees = " x ".join(map(str, one.receptive_field)) if one.receptive_field else "all"
    return one.name, str(one.output_shape), kernel, f"{one.parameters:,}", f"{one.macs:,}", sees


def _joined(parts: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    return parts[0] if len(parts) == 1 else (*parts[0], "|", *parts[1])
