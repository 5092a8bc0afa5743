"""What a file says, as the dataclass that it was written from, or an error that says where it is none."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from reprlib import repr as short
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

T = TypeVar("T")

MOST = 10**18
Size: TypeAlias = Annotated[int, Meta(ge=0, le=MOST)]
Quantity: TypeAlias = Annotated[float, Meta(ge=0, le=MOST)]
"""Numbers that a file may hold: neither negative nor beyond what anything here counts or measures."""


def parsed(text: str | bytes) -> Any:
    """The value of a text of JSON, which has neither NaN nor infinity.

    Raises:
        ValueError: it is not JSON.

    >>> parsed('{"length": NaN}')
    Traceback (most recent call last):
    ValueError: JSON is malformed: invalid character (byte 11)
    """
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(str(error)) from None


def validated(kind: type[T], value: Any, ignored: Collection[str] = ()) -> T:
    """A value of JSON as a dataclass: every field is there, of its type and within its bounds, and there is no other.

    Args:
        kind: the dataclass; its fields may be dataclasses, and have bounds (``msgspec.Meta``).
        value: what :func:`parsed` gives, or ``json.loads``.
        ignored: names of more fields, in it or in the dataclasses inside, that may be there and are not read.

    Raises:
        ValueError: it is none; the text says where (``$`` is the whole), and what was expected.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Call:
    ...     kernel: int
    ...     padding: tuple[int, ...] = ()
    >>> validated(Call, {"kernel": 3, "padding": [1, 1]})
    Call(kernel=3, padding=(1, 1))
    >>> validated(Call, {"kernel": 3, "padding": [1, "1"]})
    Traceback (most recent call last):
    ValueError: Expected `int`, got `str` - at `$.padding[1]`
    >>> validated(Call, {"kernel": 3, "stride": 1})
    Traceback (most recent call last):
    ValueError: missing field `padding` - at `$`
    """
    try:
        made = msgspec.convert(value, kind)
    except ValueError as error:
        text = str(error)
        raise ValueError(text if len(text) < 300 else f"{text[:150]} ... {text[-100:]}") from None
    _compare(value, made, ignored, "$")
    return made


def _compare(said: Any, read: Any, ignored: Collection[str], at: str) -> None:
    """Refuse fields that a dataclass has a default for, and those that it does not know: msgspec passes over both."""
    if is_dataclass(read):
        names = {field.name for field in fields(read)}
        for what, wrong in (("missing", names - said.keys()), ("unknown", said.keys() - names - set(ignored))):
            if wrong:
                raise ValueError(f"{what} field `{min(wrong)[:100]}` - at `{at}`")
        for name in names:
            _compare(said[name], getattr(read, name), ignored, f"{at}.{name}")
    elif isinstance(read, Mapping):
        for name in read:
            _compare(said[name], read[name], ignored, f"{at}[{short(name)}]")
    elif isinstance(read, (list, tuple)):
        for number, inner in enumerate(read):
            _compare(said[number], inner, ignored, f"{at}[{number}]")
