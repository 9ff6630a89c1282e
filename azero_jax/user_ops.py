"""Ops of users' own: what is checked before they enter the op table, and how they leave it.

An op that JAX cannot trace, or whose printed form does not read back, would end or change
evaluations and texts that have nothing to do with it. So each is tried when it is registered.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from azero_jax import ops
from azero_jax.execution import precision
from azero_jax.program import Instruction, Program

# Numbers of features that a function is tried with.
_SIZES = (3, 5, 2, 1)

_REGISTER = re.compile(r"(?<![A-Za-z0-9_])[svm]\d+(?![A-Za-z0-9_])")

_lock = threading.RLock()


def register_op(
    name: str, inputs: str, output: str, function: Callable[..., jax.Array], *, form: str | None = None
) -> ops.Op:
    """Adds an op of the user's to the table, usable in text, mutation, search and evaluation.

    Evaluators and search spaces made afterwards know the op; those made before do not.

    Args:
      name: an identifier that no other op has.
      inputs: kinds of the operands, one or two of "s", "v", "m".
      output: kind of the result, "s", "v" or "m".
      function: maps one task's operand values, of shapes (), (F,), (F, F), to the
        result, with JAX operations, for any F; it must not depend on anything else.
        Booleans, integers and floats of another dtype are cast to that of the operands.
      form: printed text; by default `v{o} = name(s{a}, v{b})` with the kinds given.

    Returns:
      The new row of the table.

    Raises:
      ValueError: the name is taken or no identifier, a kind is unknown, the form
        does not hold every operand once, prints like another op or does not read back, or
        the function fails or does not return numbers of the declared shape. The table is
        then as it was.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"name {name!r}: expected an identifier")
    if not isinstance(inputs, str) or not 1 <= len(inputs) <= ops.MAX_INPUTS or set(inputs) - set(ops.KINDS):
        raise ValueError(f"inputs {inputs!r} of {name!r}: expected one or two of 's', 'v', 'm'")
    if not isinstance(output, str) or len(output) != 1 or output not in ops.KINDS:
        raise ValueError(f"output {output!r} of {name!r}: expected 's', 'v' or 'm'")
    operands = [f"{kind}{{{letter}}}" for kind, letter in zip(inputs, "ab")]
    if form is None:
        form = f"{output}{{o}} = {name}({', '.join(operands)})"
    with _lock:
        if any(op.name.lower() == name.lower() for op in ops.known()):
            raise ValueError(f"name {name!r}: an op of that name exists already")
        _check_form(name, form, [*operands, f"{output}{{o}}"])
        _check_function(name, inputs, output, function)
        op = ops.add(name, inputs, output, form, function)
        try:
            _check_reads_back(op)
        except ValueError:
            ops.take_back(op)
            raise
    return op


def unregister_op(name: str) -> None:
    """Takes an op that was registered out of the table.

    Its id is not given again, and those of other ops stay. Text, new evaluators and new search
    spaces know it no more, and programs that hold it are refused.

    Raises:
      ValueError: no op has that name, or it is one of the 65.
    """
    with _lock:
        op = ops.op_named(name)
        if op.id < ops.NUM_BUILT_IN_OPS:
            raise ValueError(f"name {name!r}: expected an op that was registered, this one belongs to the language")
        ops.remove(op)


def _check_form(name: str, form: object, operands: list[str]) -> None:
    """Refuses a form that cannot be one line of a program with every operand in it."""
    if not isinstance(form, str) or not form.isprintable() or "#" in form or form != form.strip():
        raise ValueError(f"form {form!r} of {name!r}: expected one line of text, without '#' or spaces around it")
    rest = form
    for operand in operands:
        if form.count(operand) != 1:
            raise ValueError(f"form {form!r} of {name!r}: expected {' and '.join(operands)}, once each")
        rest = rest.replace(operand, "")
    if "{" in rest or "}" in rest or _REGISTER.search(rest):
        raise ValueError(
            f"form {form!r} of {name!r}: expected no braces or addresses but {' and '.join(operands)}, once each"
        )
    taken = {_printed_skeleton(op.form): op.name for op in ops.known()}
    if _printed_skeleton(form) in taken:
        raise ValueError(f"form {form!r} of {name!r}: prints like {taken[_printed_skeleton(form)]}")


def _printed_skeleton(form: str) -> str:
    return re.sub(r"\{.\}", "#", form).replace(" ", "")


def _check_function(name: str, inputs: str, output: str, function: Callable[..., jax.Array]) -> None:
    """Tries a function as machines call it: traced, and for several tasks at once."""
    if not callable(function):
        raise ValueError(f"function of {name!r}: {function!r}: expected a function")
    for dtype in ("float32", "float64"):
        for features_size in _SIZES:
            where = f"function of {name!r}: for F={features_size} in {dtype}"
            shapes = [ops.output_shape(kind, features_size) for kind in inputs]
            try:
                with precision(dtype):
                    result = jax.eval_shape(function, *(jax.ShapeDtypeStruct(shape, dtype) for shape in shapes))
                    lanes = [jax.ShapeDtypeStruct((*shape, 2), dtype) for shape in shapes]
                    jax.eval_shape(jax.vmap(function, in_axes=-1, out_axes=-1), *lanes)
            except Exception as error:
                raise ValueError(
                    f"{where}: {type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}: "
                    "expected operations that JAX can trace, such as jnp.where instead of `if`"
                ) from error
            expected = ops.output_shape(output, features_size)
            if getattr(result, "shape", None) != expected:
                raise ValueError(
                    f"function of {name!r}: returned shape {getattr(result, 'shape', result)} for F={features_size}, "
                    f"expected {expected} for output kind {output!r}"
                )
            if not any(jnp.issubdtype(result.dtype, kind) for kind in (jnp.bool_, jnp.integer, jnp.floating)):
                raise ValueError(f"{where}: returned {result.dtype}, expected real numbers, integers or booleans")


def _check_reads_back(op: ops.Op) -> None:
    """Whether an op of the table, and every other one, is what its text is read as."""
    for other in ops.known():
        for in1, in2, out in ((2, 3, 4), (1, 1, 1), (12, 120, 7)) if other is op else ((2, 3, 4),):
            instruction = Instruction(
                other,
                in1 if other.inputs else 0,
                in2 if len(other.inputs) > 1 else 0,
                out if other.output else 0,
                tuple(np.linspace(0.25, 0.75, len(other.constants)).tolist()),
            )
            program = Program.from_instructions(predict=[instruction])
            try:
                same = Program.from_text(program.to_text()) == program
            except ValueError:
                same = False
            if not same:
                raise ValueError(
                    f"form {op.form!r} of {op.name!r}: {str(instruction)!r} "
                    + (f"of {other.name} " if other is not op else "")
                    + "does not read back as it was printed: expected letters, brackets and signs as in other forms"
                )
