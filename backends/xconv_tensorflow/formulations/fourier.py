"""Long kernels by overlap-save: short transforms, a product per frequency, and back.

Inside, channels come first and time last, ``(channels, rows, blocks, time)``, with ``outer * inner`` rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf

from xconv.cost import ITEM_SIZE
from xconv.formulation import Formulation
from xconv.fourier import block_length, blocks, fourier_work
from xconv.problem import ConvProblem, Size
from xconv_tensorflow.formulations.shapes import Tensor, as_lines, cut, pad, resized, swapped, unknown_sizes

WORKSPACE = 1 << 24
"""Bytes that one round may take: the signal is worked through in rounds of so many blocks."""


class Fourier(Formulation):
    """Overlap-save. The error of a block is spread over it: see :func:`xconv.bounds.fourier_error`."""

    name = "fft"
    is_local = False

    def unsupported(self, direction: str, problem: ConvProblem) -> str | None:
        if problem.stride > 1 or problem.dilation > 1:
            return "most of it would be thrown away with a stride, or be zero with a dilation"
        return unknown_sizes(problem)

    def transform_length(self, direction: str, problem: ConvProblem) -> int:
        return block_length(problem.transposed() if direction == "input_gradient" else problem)

    def workspace(self, direction: str, problem: ConvProblem) -> Size:
        length, item = self.transform_length(direction, problem), ITEM_SIZE[problem.dtype]
        kernel = 3 * length * problem.group_in * problem.out_channels
        lines = problem.padded_length * problem.in_channels + problem.output_length * problem.out_channels
        copies = 3 * problem.outer * problem.inner * lines
        return item * (kernel + copies) + max(WORKSPACE, _block_bytes(problem, length))

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        return fourier_work(problem.transposed() if direction == "input_gradient" else problem)

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor) -> Tensor:
        length = block_length(problem)
        signals, kernel = _signals(problem, axis, x, length), _kernel_spectrum(problem, weight, length)
        lines = []
        for rows, spans in _rounds(problem, length):
            parts = []
            for span in spans:
                spectrum = tf.signal.rfft(_frames(problem, signals, rows, span, length), [length])
                y = tf.signal.irfft(_product(problem, spectrum, kernel), [length])
                parts.append(_outputs(problem, y, length))
            lines.append(_joined(parts, 2))
        y = cut(_joined(lines, 1), 2, 0, problem.output_length)
        y = tf.reshape(y, (problem.out_channels, problem.outer, problem.inner, problem.output_length))
        y = tf.transpose(y, (1, 3, 2, 0))
        return tf.reshape(y, resized(x, axis, problem.output_length, problem.out_channels))

    def input_gradient(self, problem: ConvProblem, axis: int, dy: Tensor, weight: Tensor) -> Tensor:
        return self.forward(problem.transposed(), axis, dy, swapped(problem, weight))

    def weight_gradient(self, problem: ConvProblem, axis: int, x: Tensor, dy: Tensor) -> Tensor:
        length = block_length(problem)
        signals, above = _signals(problem, axis, x, length), _blocked(problem, axis, dy, length)
        spectrum = None
        for rows, spans in _rounds(problem, length):
            for first, stop in spans:
                seen = tf.signal.rfft(_frames(problem, signals, rows, (first, stop), length), [length])
                given = tf.signal.rfft(above[:, rows[0] : rows[1], first:stop], [length])
                part = _correlation(problem, seen, given)
                spectrum = part if spectrum is None else spectrum + part
        gradient = tf.signal.irfft(spectrum, [length])[..., : problem.kernel]
        return tf.reshape(tf.transpose(gradient, (3, 1, 0, 2)), problem.weight_shape)


# --- blocks of a signal ---


def _signals(problem: ConvProblem, axis: int, x: Tensor, length: int) -> Tensor:
    """``(channels, rows, blocks + 1, outputs)``: the padded input in pieces, one for each block and one behind.

    A single block is one piece of its own, ``(channels, rows, 1, length)``.
    """
    count, outputs = blocks(problem, length)
    wanted = length if count == 1 else (count + 1) * outputs
    low = problem.padding[0]
    lines = pad(as_lines(x, axis), 1, (low, wanted - problem.length - low))
    pieces = (problem.in_channels, -1, 1, length) if count == 1 else (problem.in_channels, -1, count + 1, outputs)
    return tf.reshape(tf.transpose(lines, (3, 0, 2, 1)), pieces)


def _blocked(problem: ConvProblem, axis: int, dy: Tensor, length: int) -> Tensor:
    """``(channels, rows, blocks, outputs)`` of a gradient of the result."""
    count, outputs = blocks(problem, length)
    lines = pad(as_lines(dy, axis), 1, (0, count * outputs - problem.output_length))
    return tf.reshape(tf.transpose(lines, (3, 0, 2, 1)), (problem.out_channels, -1, count, outputs))


def _frames(problem: ConvProblem, signals: Tensor, rows: tuple[int, int], span: tuple[int, int], length: int) -> Tensor:
    """Overlapping blocks, ``(channels, rows, blocks, length)``: each piece and the start of the next."""
    count, outputs = blocks(problem, length)
    signals = signals[:, rows[0] : rows[1]]
    if count == 1:
        return signals
    first, stop = span
    following = signals[:, :, first + 1 : stop + 1, : length - outputs]
    return tf.concat([signals[:, :, first:stop], following], -1)


def _outputs(problem: ConvProblem, y: Tensor, length: int) -> Tensor:
    """What a block gives, without what has wrapped around: ``(channels, rows, places)``."""
    _, outputs = blocks(problem, length)
    channels, rows, count, _ = y.shape
    return tf.reshape(y[..., :outputs], (channels, rows, count * outputs))


def _rounds(problem: ConvProblem, length: int) -> Iterator[tuple[tuple[int, int], list[tuple[int, int]]]]:
    """Ranges of rows, each with ranges of blocks, that fit into the workspace."""
    count, _ = blocks(problem, length)
    lines = problem.outer * problem.inner
    most = max(WORKSPACE // _block_bytes(problem, length), 1)
    together, step = max(most // count, 1), min(most, count)
    for row in range(0, lines, together):
        yield (row, min(row + together, lines)), [(b, min(b + step, count)) for b in range(0, count, step)]


def _block_bytes(problem: ConvProblem, length: int) -> int:
    """A block of every channel, its spectrum, and both the other way round."""
    return 4 * ITEM_SIZE[problem.dtype] * length * (problem.in_channels + problem.out_channels)


def _joined(parts: list[Tensor], axis: int) -> Tensor:
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis)


# --- products of spectra: elements where a group has one input channel, else a matrix for each frequency ---


def _kernel_spectrum(problem: ConvProblem, weight: Tensor, length: int) -> Tensor:
    """``(groups, out, 1, frequencies)``, or ``(frequencies, groups, out, in)``; conjugate, for a correlation."""
    groups, group_in, group_out = problem.groups, problem.group_in, problem.group_out
    grouped = tf.reshape(weight, (problem.kernel, group_in, groups, group_out))
    spectrum = tf.math.conj(tf.signal.rfft(tf.transpose(grouped, (2, 3, 1, 0)), [length]))
    return spectrum if group_in == 1 else _by_frequency(spectrum)


def _product(problem: ConvProblem, spectrum: Tensor, kernel: Tensor) -> Tensor:
    """``(out, rows, blocks, frequencies)`` from ``(in, rows, blocks, frequencies)``."""
    _, rows, count, frequencies = spectrum.shape
    grouped = _grouped(problem, spectrum, problem.group_in)
    if problem.group_in == 1:
        y = grouped * kernel
    else:
        y = tf.matmul(kernel, _by_frequency(grouped))
        y = tf.transpose(tf.reshape(y, (frequencies, -1)))
    return tf.reshape(y, (problem.out_channels, rows, count, frequencies))


def _correlation(problem: ConvProblem, seen: Tensor, given: Tensor) -> Tensor:
    """``(groups, in, out, frequencies)``: products of two spectra, summed over rows and blocks."""
    groups, group_in, group_out = problem.groups, problem.group_in, problem.group_out
    seen, given = _grouped(problem, seen, group_in), _grouped(problem, given, group_out)
    if group_in == 1:
        return tf.reduce_sum(seen * tf.math.conj(given), 2)[:, None]
    y = tf.matmul(_by_frequency(seen), _by_frequency(given), adjoint_b=True)
    return tf.reshape(tf.transpose(tf.reshape(y, (y.shape[0], -1))), (groups, group_in, group_out, -1))


def _grouped(problem: ConvProblem, spectrum: Tensor, channels: int) -> Tensor:
    """``(groups, channels, rows * blocks, frequencies)``."""
    return tf.reshape(spectrum, (problem.groups, channels, -1, spectrum.shape[-1]))


def _by_frequency(spectrum: Tensor) -> Tensor:
    """The last axis first: ``(frequencies, a, b, c)``, by a plain transposition, which is the fastest."""
    *others, frequencies = spectrum.shape
    return tf.reshape(tf.transpose(tf.reshape(spectrum, (-1, frequencies))), (frequencies, *others))
