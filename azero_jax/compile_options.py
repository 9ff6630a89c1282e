"""XLA's settings for single functions of ours, where JAX has started and XLA reads no flags any more.

`jax.jit` takes settings of the compiler, all but those in `xla_backend_extra_options`, a
table, which the interface between JAX and XLA cannot write. The whole of the settings also
goes through as a protocol buffer. There a table can be added to by writing more bytes
behind the message: where a message is written twice, its readers merge both.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

EXTRA = "xla_backend_extra_options"

# Numbers of fields: of the build options in `CompileOptionsProto`, of the debug options in them, of
# the table in these, and of key and value in an entry of any table (xla/pjrt/proto, xla/xla.proto).
_PATH = (3, 3)
_TABLE, _KEY, _VALUE = 500, 1, 2
_LENGTH_FOLLOWS = 2


def allow_extra_options() -> bool:
    """Lets `compiler_options` of `jax.jit` hold `xla_backend_extra_options`, written as in XLA_FLAGS.

    JAX's function that makes the options of each compilation gets one of ours around it, once.

    Returns:
      Whether this version of JAX has that function.
    """
    from jax._src import compiler

    original = getattr(compiler, "get_compile_options", None)
    if original is None:
        return False
    if not hasattr(original, "writes_extra_options"):
        compiler.get_compile_options = _with_extra_options(original)
    return True


def _with_extra_options(original: Callable[..., Any]) -> Callable[..., Any]:
    """JAX's function, with the table filled in where it is asked for; other compilations are as they were."""

    @functools.wraps(original)
    def get_compile_options(*arguments: Any, **others: Any) -> Any:
        overrides = others.get("env_options_overrides") or {}
        if EXTRA not in overrides:
            return original(*arguments, **others)
        rest = {name: value for name, value in overrides.items() if name != EXTRA}
        options = original(*arguments, **others | {"env_options_overrides": rest})
        return type(options).ParseFromString(options.SerializeAsString() + table_bytes(overrides[EXTRA].split(",")))

    get_compile_options.writes_extra_options = True  # type: ignore[attr-defined]
    return get_compile_options


def table_bytes(options: Iterable[str]) -> bytes:
    """What adds extra options to serialised compile options.

    Args:
      options: each "name=value" or "name".
    """
    content = b""
    for option in options:
        name, _, value = option.partition("=")
        content += _field(_TABLE, _field(_KEY, name.encode()) + _field(_VALUE, value.encode()))
    for number in _PATH:
        content = _field(number, content)
    return content


def _field(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer that holds bytes."""
    return _varint(number << 3 | _LENGTH_FOLLOWS) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """A number in the form of protocol buffers, seven bits in a byte, the lowest first."""
    octets = bytearray()
    while number > 127:
        octets.append(number & 127 | 128)
        number >>= 7
    return bytes([*octets, number])
