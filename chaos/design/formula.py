"""Formulas as text: the text that people read is what is computed.

Sums, products, quotients, ceil and max of names and numbers; nothing else.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Final

_OPERATORS: Final[Mapping[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip


def value(text: str, names: Mapping[str, float]) -> float:
    """Return the value of a formula. Raises ValueError for anything else, KeyError for a name that is not there.

    Rounding up forgives the last digits: 5e8 / 5e4 is 10,000 and not 10,001. Dividing by 0 gives infinity.
    """
    return _value(ast.parse(text, mode="eval").body, names)


def _value(node: ast.expr, names: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return float(names[name])
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            try:
                return _OPERATORS[type(op)](_value(left, names), _value(right, names))
            except ZeroDivisionError:
                return math.inf
        case ast.Call(func=ast.Name(id="ceil"), args=[one]):
            inner = _value(one, names)
            return float(math.ceil(inner * (1 - 1e-12))) if math.isfinite(inner) else inner
        case ast.Call(func=ast.Name(id="max"), args=[*several]) if several:
            return max(_value(one, names) for one in several)
    raise ValueError(f"not a formula: {ast.unparse(node)}")
