"""Expressions over the columns of scores, such as "label_confidence > 0.2 and copy_ratio > 0.5".

They are written as in Python and read by its parser, and nothing of them is ever run: what is not in the list below is
refused. Known are columns, numbers, texts, True and False, + - * /, comparisons (also in and not in), and, or, not.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import RecipeError
from ..utils.text import brief, some

LONGEST = 1000  # characters
ARITHMETIC: dict[type, Callable] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
COMPARISONS: dict[type, Callable] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}  # fmt: skip
LOGIC: dict[type, np.ufunc] = {ast.And: np.logical_and, ast.Or: np.logical_or}
KNOWN = (
    ast.Name, ast.Load, ast.Constant, ast.BinOp, ast.UnaryOp, ast.USub, ast.Not, ast.Compare, ast.BoolOp, ast.In,
    ast.NotIn, ast.Tuple, ast.List, *ARITHMETIC, *COMPARISONS, *LOGIC,
)  # fmt: skip


class Expression:
    """An expression that has been read and found to be one.

    Args:
        text: as it was given.
        flag: by which, for messages.

    Attributes:
        names: the columns that it takes.

    Raises:
        RecipeError: it is none, or holds something that is not known.
    """

    def __init__(self, text: str, flag: str) -> None:
        self.text, self.flag = text, flag
        if len(text) > LONGEST:
            raise self._wrong(f"has {len(text):,} characters; {LONGEST:,} are the limit")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)  # of Python, of escapes in texts: nobody asked it
                self._tree = ast.parse(text.strip(), mode="eval").body
            parts = list(ast.walk(self._tree))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            where = f" near character {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
            raise self._wrong(f"cannot be read{where}") from error
        for part in parts:
            if not isinstance(part, KNOWN):
                raise self._wrong(f"holds {brief(ast.unparse(part)[:100])}, and only columns, numbers, texts and "
                                  "+ - * / < <= > >= == != in and or not are known")  # fmt: skip
            if isinstance(part, ast.Constant) and not isinstance(part.value, int | float | str):
                raise self._wrong(f"holds {brief(part.value)}, which is no number and no text")
        self.names = sorted({part.id for part in parts if isinstance(part, ast.Name)})

    def condition(self, columns: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
        """Where it holds: bool (rows,). Raises RecipeError: a column that is not there, or it is no condition."""
        found = np.asarray(self._value(columns))
        if found.dtype != bool:
            raise self._wrong('is a number and no condition: compare it, as in "label_confidence > 0.2"')
        return np.broadcast_to(found, rows)

    def weights(self, columns: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
        """Its value: float64 (rows,). Raises RecipeError: not finite, below zero, or zero everywhere."""
        found = np.asarray(self._value(columns))
        if found.dtype.kind not in "biuf":
            raise self._wrong("is a text and no number")
        found = np.broadcast_to(found.astype(np.float64), rows)
        bad = ~(np.isfinite(found) & (found >= 0))
        if bad.any():
            at = int(np.argmax(bad))
            raise self._wrong(f"is {found[at]:g} for row {at}; weights are finite and not below 0")
        if rows and not found.any():
            raise self._wrong("is 0 for every row")
        return found

    def _value(self, columns: Mapping[str, np.ndarray]) -> Any:
        missing = [name for name in self.names if name not in columns]
        if missing:
            raise self._wrong(f"names {brief(missing[0])}, which is no column; there are {', '.join(columns)}")
        try:
            with np.errstate(all="ignore"):
                return self._of(self._tree, columns)
        except (TypeError, ValueError, OverflowError, ZeroDivisionError, RecursionError) as error:
            raise self._wrong("cannot be worked out: numbers go with numbers, texts with texts") from error

    def _of(self, part: ast.AST, columns: Mapping[str, np.ndarray]) -> Any:
        if isinstance(part, ast.Name):
            return columns[part.id]
        if isinstance(part, ast.Constant):
            return part.value
        if isinstance(part, ast.BinOp):
            return ARITHMETIC[type(part.op)](self._number(part.left, columns), self._number(part.right, columns))
        if isinstance(part, ast.UnaryOp):
            if isinstance(part.op, ast.Not):
                return ~self._truth(part.operand, columns)
            return -self._number(part.operand, columns)
        if isinstance(part, ast.BoolOp):
            values = [self._truth(value, columns) for value in part.values]
            return LOGIC[type(part.op)].reduce(np.broadcast_arrays(*values))
        if isinstance(part, ast.Compare):
            return self._compared(part, columns)
        raise self._wrong(f"has a list where a value belongs: {some([self.text])}")

    def _compared(self, part: ast.Compare, columns: Mapping[str, np.ndarray]) -> Any:
        left, found = self._of(part.left, columns), np.bool_(True)
        for how, other in zip(part.ops, part.comparators):
            if isinstance(how, ast.In | ast.NotIn):
                if not isinstance(other, ast.Tuple | ast.List):
                    raise self._wrong('takes "in" with a list in brackets, as in class_name in ("cat", "dog")')
                one = np.any([self._same_kind(left, self._of(e, columns), operator.eq) for e in other.elts], axis=0)
                held, right = (~one if isinstance(how, ast.NotIn) else one), None
            else:
                right = self._of(other, columns)
                held = self._same_kind(left, right, COMPARISONS[type(how)])
            found, left = np.logical_and(found, held), right
        return found

    @staticmethod
    def _same_kind(left: Any, right: Any, compare: Callable) -> Any:
        """Texts are compared with texts only; numpy would say False, and a typing error would pass for a filter."""
        if (np.asarray(left).dtype.kind in "UO") != (np.asarray(right).dtype.kind in "UO"):
            raise TypeError
        return np.asarray(compare(left, right), bool)

    def _number(self, part: ast.AST, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        value = np.asarray(self._of(part, columns))
        if value.dtype.kind not in "biuf":
            raise TypeError
        return value.astype(np.float64)

    def _truth(self, part: ast.AST, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        value = np.asarray(self._of(part, columns))
        if value.dtype != bool:
            raise self._wrong(f"has {brief(ast.unparse(part))} where a condition belongs: compare it with something")
        return value

    def _wrong(self, what: str) -> RecipeError:
        return RecipeError(f"{self.flag} {brief(self.text)} {what}")
