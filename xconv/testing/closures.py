"""What a Python function refers to, and the same function with other numbers in its place.

A port is often written as a function that closes over its weights. To run it in float64, or with weights that are moved
by a rounding, the function is made again around changed copies; the user's own is never touched.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

_LIBRARIES = {"torch", "tensorflow", "keras", "jax", "jaxlib", "numpy", "scipy", "onnxruntime"}


def top(value: object) -> str:
    """The top-level module of a type or function."""
    return str(getattr(value, "__module__", None) or "").partition(".")[0]


def python_function(f: Any) -> Any:
    """The Python function inside of a compiled one, a bound method or a wrapper, or the value itself."""
    for attribute in ("python_function", "__wrapped__", "_torchdynamo_orig_callable", "__func__"):
        inner = getattr(f, attribute, None)
        if inner is not None and callable(inner) and not isinstance(f, type):
            return python_function(inner)
    return f


def names(code: types.CodeType) -> set[str]:
    """The global names and attributes in a function's code, functions within it included."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= names(constant)
    return found


def referred(f: types.FunctionType) -> dict[str, Any]:
    """What a Python function refers to by name: globals, closed-over values, defaults."""
    found = {name: f.__globals__[name] for name in sorted(names(f.__code__)) if name in f.__globals__}
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not bound yet
            continue
    for i, value in enumerate(f.__defaults__ or ()):
        found[f"default {i}"] = value
    found.update(f.__kwdefaults__ or {})
    return found


def reachable(f: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """A callable and every value that it reaches by its code, in order, each once."""
    seen = set() if seen is None else seen
    if id(f) in seen:
        return
    seen.add(id(f))
    yield f
    inside: list[Any] = []
    if isinstance(f, functools.partial):
        inside = [f.func, *f.args, *f.keywords.values()]
    elif isinstance(f, types.MethodType):
        inside = [f.__self__, f.__func__]
    elif isinstance(f, types.FunctionType):
        inside = [value for value in referred(f).values() if _of_the_user(f, value)]
    elif isinstance(f, dict):
        inside = list(f.values())
    elif isinstance(f, (list, tuple)):
        inside = list(f)
    elif python_function(f) is not f:
        inside = [python_function(f)]
    for value in inside:
        yield from reachable(value, seen)


def _of_the_user(f: types.FunctionType, value: Any) -> bool:
    """Functions are followed within their module: what a library's function refers to is the library's."""
    if isinstance(value, (types.ModuleType, type, types.BuiltinFunctionType)):
        return False
    return not isinstance(value, types.FunctionType) or (
        value.__module__ == f.__module__ and top(value) not in _LIBRARIES
    )


def rebuilt(
    value: Any,
    convert: Callable[[Any], Any],
    compiled: Callable[[Any], tuple[Callable[..., Any], Callable[[Any], Any]] | None],
    memo: dict[int, Any] | None = None,
) -> Any:
    """A callable with what it refers to converted; the value itself where nothing changes.

    ``convert`` returns another value for what it knows, and the same for all else.
    """
    memo = {} if memo is None else memo
    if id(value) in memo:
        return memo[id(value)]
    memo[id(value)] = value  # a function that refers to itself ends here
    memo[id(value)] = found = _rebuilt(value, convert, compiled, memo)
    return found


def _rebuilt(value: Any, convert: Any, compiled: Any, memo: dict[int, Any]) -> Any:  # noqa: PLR0911 - one for a kind
    def again(inner: Any) -> Any:
        return rebuilt(inner, convert, compiled, memo)

    other = convert(value)
    if other is not value:
        return other
    inner = compiled(value)
    if inner is not None:
        made = again(inner[0])
        return value if made is inner[0] else inner[1](made)
    if type(value) in (list, tuple, dict):
        items = [again(item) for item in (value.values() if isinstance(value, dict) else value)]
        old = list(value.values()) if isinstance(value, dict) else value
        if all(a is b for a, b in zip(items, old, strict=True)):
            return value
        return dict(zip(value, items, strict=True)) if isinstance(value, dict) else type(value)(items)
    if isinstance(value, functools.partial):
        function, args, keywords = again(value.func), again(value.args), again(value.keywords)
        same = function is value.func and args is value.args and keywords is value.keywords
        return value if same else functools.partial(function, *args, **keywords)
    if isinstance(value, types.MethodType):
        owner = again(value.__self__)
        return value if owner is value.__self__ else types.MethodType(value.__func__, owner)
    if isinstance(value, types.FunctionType):
        return _function(value, again)
    return value


def _function(f: types.FunctionType, again: Callable[[Any], Any]) -> types.FunctionType:
    old = {name: value for name, value in referred(f).items() if _of_the_user(f, value)}
    new = {name: again(value) for name, value in old.items()}
    changed = {name for name in old if new[name] is not old[name]}
    if not changed:
        return f
    cells = None
    if f.__closure__ is not None:
        pairs = zip(f.__code__.co_freevars, f.__closure__, strict=True)
        cells = tuple(types.CellType(new[name]) if name in changed else cell for name, cell in pairs)
    table = {**f.__globals__, **{name: new[name] for name in changed if f.__globals__.get(name) is old[name]}}
    defaults = f.__defaults__ and tuple(new.get(f"default {i}", value) for i, value in enumerate(f.__defaults__))
    made = types.FunctionType(f.__code__, table, f.__name__, defaults, cells)
    if f.__kwdefaults__:
        made.__kwdefaults__ = {name: new.get(name, value) for name, value in f.__kwdefaults__.items()}
    made.__dict__.update(f.__dict__)
    made.__module__, made.__qualname__ = f.__module__, f.__qualname__
    return made
