"""Settings and other dataclasses from JSON, checked against their types.

`dataclasses.asdict` writes them; what comes back from a file may be anything.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from azero_jax.files import NUMBERS_IN_JSON

_T = TypeVar("_T")


def read(kind: type[_T], value: Any, name: str = "") -> _T:
    """A value of a type from what JSON holds for it.

    Args:
      kind: a dataclass, a NamedTuple, or a type of their fields.
      value: from JSON; infinity and NaN as `files.to_json` writes them.
      name: of the value, for messages.

    Raises:
      ValueError: a missing or unknown name, another type, or what the dataclass refuses.
    """
    return _reader(kind)(value, name)


def _reader(kind: Any) -> Callable[[Any, str], Any]:
    """The function that reads values of a type."""
    if dataclasses.is_dataclass(kind):
        return functools.partial(_read_fields, kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):  # X | None
        (some,) = (part for part in arguments if part is not type(None))
        return lambda value, name: None if value is None else read(some, value, name)
    if origin is list:
        return lambda value, name: list(_read_items(value, name, arguments[0]))
    if origin is tuple and arguments[-1] is Ellipsis:
        return lambda value, name: _read_items(value, name, arguments[0])
    if origin is tuple:
        return lambda value, name: _read_each(value, name, arguments)
    if hasattr(kind, "_fields"):
        hints = typing.get_type_hints(kind)
        return lambda value, name: kind(*_read_each(value, name, tuple(hints[field] for field in kind._fields)))
    return functools.partial(_read_plain, kind)


def _read_plain(kind: type, value: Any, name: str) -> Any:
    if kind is float and (value is None or isinstance(value, str)) and value in NUMBERS_IN_JSON:
        return NUMBERS_IN_JSON[value]
    if kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{name}: {_short(value)}: expected {kind.__name__}")
    return value


def _read_items(value: Any, name: str, kind: Any) -> tuple:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{name}: {_short(value)}: expected a list")
    return tuple(read(kind, item, f"{name}[{index}]") for index, item in enumerate(value))


def _read_each(value: Any, name: str, kinds: tuple) -> tuple:
    if not isinstance(value, (list, tuple)) or len(value) != len(kinds):
        raise ValueError(f"{name}: {_short(value)}: expected a list of {len(kinds)}")
    return tuple(read(kind, item, f"{name}[{index}]") for index, (kind, item) in enumerate(zip(kinds, value)))


def _read_fields(kind: Any, value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{name or kind.__name__}: {_short(value)}: expected the fields of {kind.__name__}")
    hints = _hints(kind)
    fields = [field.name for field in dataclasses.fields(kind)]
    odd = sorted(set(fields) ^ set(value), key=str)
    if odd:
        raise ValueError(f"{name or kind.__name__}: {'no' if odd[0] in fields else 'unknown'} {odd[0]}")
    return kind(**{field: read(hints[field], value[field], f"{name}.{field}" if name else field) for field in fields})


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
