"""Long kernels by overlap-save: short transforms, a product per frequency, and back.

Inside, channels come first and time last, ``(channels, rows, blocks, time)``, with ``outer * inner`` rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf

from xconv.core.cost import ITEM_SIZE
from xconv.core.formulation import Formulation
from xconv.core.fourier import block_length, blocks, fourier_work, headroom, unscaled
from xconv.core.problem import ConvProblem, Size
from xconv_tensorflow.formulations.scaling import (
    UNSCALED,
    Exponents,
    balanced,
    largest,
    scaled,
    suits,
)
from xconv_tensorflow.formulations.shapes import Tensor, as_lines, cut, pad, resized, swapped, unknown_sizes

ROUND_BYTES = 1 << 24
"""Bytes that one round may take: the signal is worked through in rounds of as many blocks as fit."""


class Fourier(Formulation):
    """Overlap-save. The error of a block is spread over it: see :func:`xconv.core.fourier_bounds.fourier_error`."""

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
        return item * (kernel + copies) + max(ROUND_BYTES, _block_bytes(problem, length))

    def work(self, direction: str, problem: ConvProblem) -> list[float]:
        return fourier_work(problem.transposed() if direction == "input_gradient" else problem)

    def forward(self, problem: ConvProblem, axis: int, x: Tensor, weight: Tensor) -> Tensor:
        length = block_length(problem)
        signals = _signals(problem, axis, x, length)
        taps = tf.reshape(weight, (problem.kernel, problem.group_in, problem.groups, problem.group_out))
        powers = _forward_powers(problem, signals, taps, length)
        kernel = _kernel_spectrum(problem, scaled(taps, powers.right, powers.needed), length)
        lines = []
        for (row, stop), spans in _rounds(problem, length):
            parts = []
            for first, last in spans:
                frames = _frames(problem, signals, (row, stop), (first, last), length)
                left, back = (_part(each, (row, stop), (first, last)) for each in (powers.left, powers.back))
                spectrum = tf.signal.rfft(scaled(frames, left, powers.needed), [length])
                y = tf.signal.irfft(_product(problem, spectrum, kernel), [length])
                y = scaled(y[..., : blocks(problem, length)[1]], back, powers.needed)
                parts.append(tf.reshape(y, (y.shape[0], y.shape[1], -1)))
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
        powers = _gradient_powers(problem, signals, above, length)
        spectrum = None
        for (row, stop), spans in _rounds(problem, length):
            for first, last in spans:
                frames = _frames(problem, signals, (row, stop), (first, last), length)
                left, right = (_part(each, (row, stop), (first, last)) for each in (powers.left, powers.right))
                seen = tf.signal.rfft(scaled(frames, left, powers.needed), [length])
                given = scaled(above[:, row:stop, first:last], right, powers.needed)
                part = _correlation(problem, seen, tf.signal.rfft(given, [length]))
                spectrum = part if spectrum is None else spectrum + part
        gradient = tf.signal.irfft(spectrum, [length])[..., : problem.kernel]
        gradient = scaled(gradient, powers.back, powers.needed)
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


def _rounds(problem: ConvProblem, length: int) -> Iterator[tuple[tuple[int, int], list[tuple[int, int]]]]:
    """Ranges of rows, each with ranges of blocks, that fit into the workspace."""
    count, _ = blocks(problem, length)
    lines = problem.outer * problem.inner
    most = max(ROUND_BYTES // _block_bytes(problem, length), 1)
    together, step = max(most // count, 1), min(most, count)
    for row in range(0, lines, together):
        yield (row, min(row + together, lines)), [(b, min(b + step, count)) for b in range(0, count, step)]


def _block_bytes(problem: ConvProblem, length: int) -> int:
    """A block of every channel, its spectrum, and both the other way round."""
    return 4 * ITEM_SIZE[problem.dtype] * length * (problem.in_channels + problem.out_channels)


def _joined(parts: list[Tensor], axis: int) -> Tensor:
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis)


# --- powers of two that all of it is scaled by ---


def _forward_powers(problem: ConvProblem, signals: Tensor, taps: Tensor, length: int) -> Exponents:
    """For the blocks and the result ``(channels, rows, blocks, 1)``, and the taps ``(in, groups, out)``."""
    top, groups = headroom(length, problem.group_in, problem.dtype), problem.groups
    b = largest(taps, 0)
    if tf.executing_eagerly() and _nowhere_quiet(problem, signals, length, top) and suits(top, b):
        return UNSCALED
    loudest = _loudest(problem, signals, length)
    fit = suits(top, loudest, b)
    if isinstance(fit, bool) and fit:
        return UNSCALED
    a = tf.reshape(loudest, (groups, problem.group_in, -1))
    left, right, back = balanced(a, tf.transpose(b, (1, 0, 2)), top)
    left = tf.reshape(left, (*loudest.shape, 1))
    back = tf.reshape(tf.transpose(back, (0, 2, 1)), (problem.out_channels, *loudest.shape[1:], 1))
    return Exponents(left, tf.transpose(right, (1, 0, 2)), back, tf.logical_not(fit))


def _gradient_powers(problem: ConvProblem, signals: Tensor, above: Tensor, length: int) -> Exponents:
    """For the blocks of x and of dy ``(channels, rows, blocks, 1)``, and the result ``(groups, in, out, 1)``."""
    top = headroom(length, above.shape[1] * above.shape[2], problem.dtype)
    b = largest(above, 3)
    if tf.executing_eagerly() and _nowhere_quiet(problem, signals, length, top) and suits(top, b):
        return UNSCALED
    loudest = _loudest(problem, signals, length), b
    fit = suits(top, *loudest)
    if isinstance(fit, bool) and fit:
        return UNSCALED
    a, b = (tf.reshape(one, (problem.groups, one.shape[0] // problem.groups, -1)) for one in loudest)
    left, right, back = balanced(tf.transpose(a, (0, 2, 1)), tf.transpose(b, (0, 2, 1)), top)
    left, right = (
        tf.reshape(tf.transpose(part, (0, 2, 1)), (*one.shape, 1))
        for part, one in zip((left, right), loudest, strict=True)
    )
    return Exponents(left, right, back[..., None], tf.logical_not(fit))


def _loudest(problem: ConvProblem, signals: Tensor, length: int) -> Tensor:
    """The largest magnitude of every block, ``(channels, rows, blocks)``, without making the blocks."""
    count, outputs = blocks(problem, length)
    pieces = largest(signals, 3)
    if count == 1:
        return pieces
    return tf.maximum(pieces[:, :, :-1], largest(signals[:, :, 1:, : length - outputs], 3))


def _nowhere_quiet(problem: ConvProblem, signals: Tensor, length: int, top: int) -> bool:
    """Whether every block needs no scaling, from a look at the pieces, which do not overlap: False may be wrong."""
    (low, high), pieces = unscaled(top), largest(signals, 3).numpy()
    begin = pieces[:, :, : blocks(problem, length)[0]]  # of each block, which is at least as loud
    return bool((begin >= low).all() and (pieces < high).all())


def _part(exponents: Tensor | None, rows: tuple[int, int], span: tuple[int, int]) -> Tensor | None:
    return None if exponents is None else exponents[:, rows[0] : rows[1], span[0] : span[1]]


# --- products of spectra: elements where a group has one input channel, else a matrix for each frequency ---


def _kernel_spectrum(problem: ConvProblem, taps: Tensor, length: int) -> Tensor:
    """``(groups, out, 1, frequencies)``, or ``(frequencies, groups, out, in)``; conjugate, for a correlation.

    From the taps as ``(kernel, in, groups, out)``.
    """
    spectrum = tf.math.conj(tf.signal.rfft(tf.transpose(taps, (2, 3, 1, 0)), [length]))
    return spectrum if problem.group_in == 1 else _by_frequency(spectrum)


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
