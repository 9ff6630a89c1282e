"""How each op of the table is written in NumPy, in LaTeX and in ONNX.

`{a}` and `{b}` stand for the operands, `{n}` for the number of features. Ops that set
constants or draw are the same for all kinds and are written out where they are used.
A test holds that every built-in op has its forms.
"""

from __future__ import annotations

from typing import NamedTuple

from azero_jax import ops


class Forms(NamedTuple):
    """The forms of one op.

    Attributes:
      numpy: an expression that may call `numpy_helpers`.
      latex: an expression.
      onnx: lines "name = Operator(inputs; attribute=value)", of which the last is the
        result. Values are [n, 1, 1], [n, F, 1] or [n, F, F], or have 1 in place of n.
    """

    numpy: str
    latex: str
    onnx: str


_LESS = "c = Less({b}, {a}); Where(c, {b}, {a})"
_GREATER = "c = Less({a}, {b}); Where(c, {b}, {a})"
_SQUARED = "q = Mul({a}, {a}); "
_VARIANCE = (
    "q = Mul({a}, {a}); e = ReduceMean(q, %s); m = ReduceMean({a}, %s); p = Mul(m, m); d = Sub(e, p); r = Sqrt(d)"
)


def _unary(numpy: str, latex: str, onnx: str) -> Forms:
    return Forms(f"np.{numpy}({{a}})", latex, f"{onnx}({{a}})")


def _binary(sign: str, latex: str, onnx: str) -> Forms:
    return Forms(f"{{a}} {sign} {{b}}", latex, f"{onnx}({{a}}, {{b}})")


_ABS = _unary("abs", r"\left|{a}\right|", "Abs")
_SUM = _binary("+", "{a} + {b}", "Add")
_DIFFERENCE = _binary("-", "{a} - {b}", "Sub")
_ELEMENTWISE = _binary("*", r"{a} \odot {b}", "Mul")
_SCALED = _binary("*", r"{a}\,{b}", "Mul")
_RATIO = _binary("/", r"\frac{{{a}}}{{{b}}}", "Div")
_ELEMENTWISE_RATIO = _binary("/", r"{a} \oslash {b}", "Div")
_RECIPROCAL = Forms("1 / {a}", r"\frac{{1}}{{{a}}}", "Div(one, {a})")
_HEAVISIDE = Forms("np.where({a} > 0, 1.0, 0.0)", r"\left[{a} > 0\right]", "c = Greater({a}, zero); Cast(c)")
_MINIMUM = Forms("minimum({a}, {b})", r"\min\left({a}, {b}\right)", _LESS)
_MAXIMUM = Forms("maximum({a}, {b})", r"\max\left({a}, {b}\right)", _GREATER)
_NORM = r"\left\lVert {a} \right\rVert_{{%s}}"

FORMS: dict[str, Forms] = {
    "SCALAR_SUM": _SUM,
    "SCALAR_DIFF": _DIFFERENCE,
    "SCALAR_PRODUCT": _SCALED,
    "SCALAR_DIVISION": _RATIO,
    "SCALAR_ABS": _ABS,
    "SCALAR_RECIPROCAL": _RECIPROCAL,
    "SCALAR_SIN": _unary("sin", r"\sin {a}", "Sin"),
    "SCALAR_COS": _unary("cos", r"\cos {a}", "Cos"),
    "SCALAR_TAN": _unary("tan", r"\tan {a}", "Tan"),
    "SCALAR_ARCSIN": _unary("arcsin", r"\arcsin {a}", "Asin"),
    "SCALAR_ARCCOS": _unary("arccos", r"\arccos {a}", "Acos"),
    "SCALAR_ARCTAN": _unary("arctan", r"\arctan {a}", "Atan"),
    "SCALAR_EXP": _unary("exp", r"e^{{{a}}}", "Exp"),
    "SCALAR_LOG": _unary("log", r"\ln {a}", "Log"),
    "SCALAR_HEAVISIDE": Forms(
        "np.where({a} >= 0, 1.0, 0.0)[()]", r"\left[{a} \geq 0\right]", "c = GreaterOrEqual({a}, zero); Cast(c)"
    ),
    "VECTOR_HEAVISIDE": _HEAVISIDE,
    "MATRIX_HEAVISIDE": _HEAVISIDE,
    "SCALAR_VECTOR_PRODUCT": _SCALED,
    "SCALAR_BROADCAST": Forms("np.full({n}, {a})", r"{a}\,\mathbf{{1}}", "Expand({a}, vector_shape)"),
    "VECTOR_RECIPROCAL": Forms("1 / {a}", r"\mathbf{{1}} \oslash {a}", "Div(one, {a})"),
    "VECTOR_NORM": Forms("norm({a})", _NORM % "2", _SQUARED + "s = ReduceSum(q, vector_axes); Sqrt(s)"),
    "VECTOR_ABS": _ABS,
    "VECTOR_SUM": _SUM,
    "VECTOR_DIFF": _DIFFERENCE,
    "VECTOR_PRODUCT": _ELEMENTWISE,
    "VECTOR_DIVISION": _ELEMENTWISE_RATIO,
    "VECTOR_INNER_PRODUCT": Forms("dot({a}, {b})", r"{a}^{{\top}} {b}", "q = Mul({a}, {b}); ReduceSum(q, vector_axes)"),
    "VECTOR_OUTER_PRODUCT": Forms("np.outer({a}, {b})", r"{a}\,{b}^{{\top}}", "t = Transpose({b}); Mul({a}, t)"),
    "SCALAR_MATRIX_PRODUCT": _SCALED,
    "MATRIX_RECIPROCAL": Forms("1 / {a}", r"\mathbf{{1}}\mathbf{{1}}^{{\top}} \oslash {a}", "Div(one, {a})"),
    "MATRIX_VECTOR_PRODUCT": Forms("dot({a}, {b})", r"{a}\,{b}", "MatMul({a}, {b})"),
    "VECTOR_COLUMN_BROADCAST": Forms(
        "np.repeat({a}[:, None], {n}, axis=1)", r"{a}\,\mathbf{{1}}^{{\top}}", "Expand({a}, matrix_shape)"
    ),
    "VECTOR_ROW_BROADCAST": Forms(
        "np.repeat({a}[None, :], {n}, axis=0)",
        r"\mathbf{{1}}\,{a}^{{\top}}",
        "t = Transpose({a}); Expand(t, matrix_shape)",
    ),
    "MATRIX_NORM": Forms("norm({a})", _NORM % "F", _SQUARED + "s = ReduceSum(q, matrix_axes); Sqrt(s)"),
    "MATRIX_COLUMN_NORM": Forms(
        "norm({a}, axis=0)",
        r"\left(\left\lVert {a}_{{:,j}} \right\rVert_{{2}}\right)_{{j}}",
        _SQUARED + "s = ReduceSum(q, vector_axes); t = Transpose(s); Sqrt(t)",
    ),
    "MATRIX_ROW_NORM": Forms(
        "norm({a}, axis=1)",
        r"\left(\left\lVert {a}_{{i,:}} \right\rVert_{{2}}\right)_{{i}}",
        _SQUARED + "s = ReduceSum(q, row_axes); Sqrt(s)",
    ),
    "MATRIX_TRANSPOSE": Forms("{a}.T.copy()", r"{a}^{{\top}}", "Transpose({a})"),
    "MATRIX_ABS": _ABS,
    "MATRIX_SUM": _SUM,
    "MATRIX_DIFF": _DIFFERENCE,
    "MATRIX_PRODUCT": _ELEMENTWISE,
    "MATRIX_DIVISION": _ELEMENTWISE_RATIO,
    "MATRIX_MATRIX_PRODUCT": Forms("matmul({a}, {b})", r"{a}\,{b}", "MatMul({a}, {b})"),
    "SCALAR_MIN": _MINIMUM,
    "VECTOR_MIN": _MINIMUM,
    # Where an element is not a number, matrices have the second operand's.
    "MATRIX_MIN": Forms("np.where({a} < {b}, {a}, {b})", _MINIMUM.latex, "c = Less({a}, {b}); Where(c, {a}, {b})"),
    "SCALAR_MAX": _MAXIMUM,
    "VECTOR_MAX": _MAXIMUM,
    "MATRIX_MAX": Forms("np.where({a} > {b}, {a}, {b})", _MAXIMUM.latex, "c = Greater({a}, {b}); Where(c, {a}, {b})"),
    "VECTOR_MEAN": Forms("mean({a})", r"\operatorname{{mean}}\left({a}\right)", "ReduceMean({a}, vector_axes)"),
    "MATRIX_MEAN": Forms("mean({a})", r"\operatorname{{mean}}\left({a}\right)", "ReduceMean({a}, matrix_axes)"),
    "MATRIX_ROW_MEAN": Forms(
        "mean({a}, axis=1)",
        r"\left(\operatorname{{mean}}\left({a}_{{i,:}}\right)\right)_{{i}}",
        "ReduceMean({a}, row_axes)",
    ),
    "MATRIX_ROW_ST_DEV": Forms(
        "std({a}, axis=1)",
        r"\left(\operatorname{{std}}\left({a}_{{i,:}}\right)\right)_{{i}}",
        _VARIANCE % ("row_axes", "row_axes"),
    ),
    "VECTOR_ST_DEV": Forms(
        "std({a})", r"\operatorname{{std}}\left({a}\right)", _VARIANCE % ("vector_axes", "vector_axes")
    ),
    "MATRIX_ST_DEV": Forms(
        "std({a})", r"\operatorname{{std}}\left({a}\right)", _VARIANCE % ("matrix_axes", "matrix_axes")
    ),
}


def forms_of(op: ops.Op, wanted: str) -> Forms:
    """The forms of an op that has a function.

    Args:
      op: the op.
      wanted: what for, to name in the error.

    Raises:
      ValueError: a registered op, whose function is JAX code.
    """
    if op.id >= ops.NUM_BUILT_IN_OPS or op.name not in FORMS:
        raise ValueError(f"{wanted}: op {op.name!r} has no such form: expected one of the built-in ops (or to_jax)")
    return FORMS[op.name]
