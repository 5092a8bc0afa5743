"""Images and spectrograms as sequences, and back.

They take any array with ``reshape``: NumPy's, torch tensors, JAX's; TensorFlow's by ``tf.reshape``. Nothing is copied
where the framework need not.
"""

from __future__ import annotations

import sys
from typing import Any

from xconv.core.registry import name_of_array
from xconv.system.errors import ArgumentError


def image_to_sequence(images: Any) -> Any:
    """Images (N, H, W, C) read line by line, (N, H * W, C).

    Horizontal neighbours stay neighbours, except from the end of a line to the start of the next; vertical ones come
    to lie W apart.

    Args:
        images: (batch, height, width, channels), of any dtype.

    Raises:
        ArgumentError: it is no array with four axes.

    >>> import numpy as np
    >>> image_to_sequence(np.zeros((2, 4, 5, 3))).shape
    (2, 20, 3)
    """
    count, height, width, channels = _shape("image_to_sequence", images, 4, "(N, H, W, C)")
    return _reshaped(images, (count, height * width, channels))


def sequence_to_image(sequence: Any, height: int) -> Any:
    """The images (N, H, W, C) whose lines are laid into a sequence (N, H * W, C): the reverse of the above.

    Raises:
        ArgumentError: it is no array with three axes, or the length is no multiple of the height.

    >>> import numpy as np
    >>> sequence_to_image(np.zeros((2, 20, 3)), height=4).shape
    (2, 4, 5, 3)
    """
    count, length, channels = _shape("sequence_to_image", sequence, 3, "(N, H * W, C)")
    _divides("sequence_to_image", "height", height, length, "the length")
    return _reshaped(sequence, (count, height, length // height, channels))


def spectrogram_to_sequence(spectrograms: Any) -> Any:
    """Spectrograms (N, T, F, C) with the frequencies in the channels, (N, T, F * C).

    A 1-D convolution along T is then exactly the 2-D one whose kernel spans all frequencies.

    Args:
        spectrograms: (batch, time, frequency, channels), of any dtype.

    Raises:
        ArgumentError: it is no array with four axes.

    >>> import numpy as np
    >>> spectrogram_to_sequence(np.zeros((2, 100, 64, 1))).shape
    (2, 100, 64)
    """
    count, time, frequencies, channels = _shape("spectrogram_to_sequence", spectrograms, 4, "(N, T, F, C)")
    return _reshaped(spectrograms, (count, time, frequencies * channels))


def sequence_to_spectrogram(sequence: Any, frequencies: int) -> Any:
    """The spectrograms (N, T, F, C) that are folded into a sequence (N, T, F * C): the reverse of the above.

    Raises:
        ArgumentError: it is no array with three axes, or the channels are no multiple of the frequencies.

    >>> import numpy as np
    >>> sequence_to_spectrogram(np.zeros((2, 100, 128)), frequencies=64).shape
    (2, 100, 64, 2)
    """
    count, time, folded = _shape("sequence_to_spectrogram", sequence, 3, "(N, T, F * C)")
    _divides("sequence_to_spectrogram", "frequencies", frequencies, folded, "the channels")
    return _reshaped(sequence, (count, time, frequencies, folded // frequencies))


def _shape(operation: str, array: Any, rank: int, axes: str) -> tuple[Any, ...]:
    if name_of_array(array) is None or not hasattr(array, "shape"):
        raise ArgumentError(operation, "array", type(array).__name__, f"an array {axes}")
    shape = tuple(array.shape)
    if len(shape) != rank:
        raise ArgumentError(operation, "array", f"shape {shape}", f"{rank} axes, {axes}", "add the batch: x[None]")
    return shape


def _divides(operation: str, argument: str, value: Any, whole: Any, what: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1 or whole % value:
        raise ArgumentError(operation, argument, repr(value), f"a divisor of {what}, {whole}")


def _reshaped(array: Any, shape: tuple[Any, ...]) -> Any:
    if hasattr(array, "reshape"):
        return array.reshape(shape)
    # a tensor of TensorFlow has no method for it; its framework is loaded, for it made the tensor
    return sys.modules["tensorflow"].reshape(array, (-1 if shape[0] is None else shape[0], *shape[1:]))
