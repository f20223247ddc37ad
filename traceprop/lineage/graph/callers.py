"""Whether the code that asked for something is the user's, and whether the answer is only shown.

A number of rows that our own code reads stays with us; one that the caller's code gets may come
back. But what stands within a `print(...)` goes into a text, and nowhere else. That is read off the
caller's source text, and believed only where that text compiles to the very code that runs.
"""

from __future__ import annotations

import ast
import builtins
import linecache
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

_OURS: Final = f"{Path(__file__).resolve().parents[2]}{os.sep}"
_PROGRAMS: Final = f"{_OURS}testing{os.sep}"  # which stand for users' programs
_recorded: Final[set[CodeType]] = set()
_DEEP: Final = 6  # calls beneath such a function
_BETWEEN: Final = "<frozen "  # abstract classes of the standard library

# Expressions that hand on what is computed of their parts, and keep nothing of it.
_PURE: Final = (
    ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.FormattedValue, ast.JoinedStr, ast.Tuple,
    ast.List, ast.Starred, ast.keyword, ast.Attribute,
)  # fmt: skip
_PURE_CALLS: Final = frozenset({"abs", "float", "format", "int", "len", "max", "min", "repr",
                                "round", "str", "sum"})  # fmt: skip


def users_frame(depth: int) -> FrameType | None:
    """Return the frame `depth` calls above the caller where it runs the user's code, else None."""
    frame: FrameType | None = sys._getframe(depth + 1)
    while frame is not None and frame.f_code.co_filename.startswith(_BETWEEN):
        frame = frame.f_back
    if frame is None:
        return None
    filename = frame.f_code.co_filename
    if filename.startswith(_OURS) and not filename.startswith(_PROGRAMS):
        return None
    return None if _recorded and _is_within_recorded(frame) else frame


def counts_are_recorded(code: CodeType, on: bool) -> None:
    """Say that the counts which a library's function reads come back in recorded steps alone."""
    (_recorded.add if on else _recorded.discard)(code)


def _is_within_recorded(frame: FrameType) -> bool:
    above: FrameType | None = frame
    for _ in range(_DEEP):
        if above is None:
            return False
        if above.f_code in _recorded:
            return True
        above = above.f_back
    return False


def is_only_shown(frame: FrameType) -> bool:
    """Whether what the frame is about to get goes into a printed text, and nowhere else."""
    if frame.f_lasti < 0:
        return False
    names = _on_the_way(frame.f_code, frame.f_lasti)
    return names is not None and all(
        name not in frame.f_locals
        and frame.f_globals.get(name, frame.f_builtins.get(name)) is getattr(builtins, name)
        for name in names
    )


@lru_cache(maxsize=1024)
def _on_the_way(code: CodeType, instruction: int) -> frozenset[str] | None:
    """Return the functions that an expression's value passes on its way into print; else None."""
    linecache.checkcache(code.co_filename)
    text = "".join(linecache.getlines(code.co_filename))
    place = next(islice(code.co_positions(), instruction // 2, None), None)
    if place is None or None in place or not _is_compiled_of(text, code):
        return None
    paths = [
        path
        for statement in ast.walk(ast.parse(text))
        if isinstance(statement, ast.Expr) and _spans(statement, place)
        for path in _paths([statement.value], place)
    ]
    return _names(paths[0]) if len(paths) == 1 else None


def _names(path: list[ast.AST]) -> frozenset[str] | None:
    """Return the names of the functions on a path from a printing call down to an expression."""
    names = set()
    for number, each in enumerate(path[:-1]):
        if isinstance(each, ast.Call):
            function = each.func
            if not isinstance(function, ast.Name) or path[number + 1] is function:
                return None
            if function.id not in (_PURE_CALLS if number else {"print"}):
                return None
            names.add(function.id)
        elif not isinstance(each, _PURE):
            return None
    asks = path[-1]
    if isinstance(asks, ast.Call) and isinstance(asks.func, ast.Name) and asks.func.id == "len":
        names.add("len")
    elif not isinstance(asks, (ast.Attribute, ast.Subscript)):
        return None
    return frozenset(names) if path[:-1] and isinstance(path[0], ast.Call) else None


def _paths(path: list[ast.AST], place: tuple[int | None, ...]) -> Iterator[list[ast.AST]]:
    """Yield the ways from a path's end down to expressions at a place."""
    if _place(path[-1]) == place and not isinstance(path[-1], (ast.JoinedStr, ast.FormattedValue)):
        yield path
        return
    for each in ast.iter_child_nodes(path[-1]):
        if _spans(each, place):
            yield from _paths([*path, each], place)


def _spans(node: ast.AST, place: tuple[int | None, ...]) -> bool:
    """Whether a node's text holds a place."""
    own = _place(node)
    if own is None:
        return False
    first, last, start, end = own
    return (first, start) <= (place[0], place[2]) and (place[1], place[3]) <= (last, end)


def _place(node: ast.AST) -> tuple[int, int, int, int] | None:
    """Lines and columns of a node, in the order of `co_positions`."""
    if not isinstance(node, (ast.expr, ast.stmt, ast.keyword)):
        return None
    if node.end_lineno is None or node.end_col_offset is None:
        return None
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


@lru_cache(maxsize=256)
def _is_compiled_of(text: str, code: CodeType) -> bool:
    """Whether a file's text gives this code."""
    try:
        waiting = [compile(text, code.co_filename, "exec", dont_inherit=True)]
    except (SyntaxError, ValueError):
        return False
    for each in waiting:
        if each == code and list(each.co_positions()) == list(code.co_positions()):
            return True
        waiting.extend(part for part in each.co_consts if isinstance(part, CodeType))
    return False
