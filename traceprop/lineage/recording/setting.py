"""A switch of recording that holds for a `with` block, or from a statement on."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any


class Setting:
    """A context variable set to a value: at once, and again where a `with` block begins.

    A block puts back what held before the call; a statement without a block leaves it set, in this
    thread or task.
    """

    __slots__ = ("_before", "_value", "_variable")

    def __init__(self, variable: ContextVar[Any], value: Any) -> None:
        self._variable = variable
        self._value = value
        self._before = variable.get()
        variable.set(value)

    def __enter__(self) -> None:
        self._variable.set(self._value)

    def __exit__(self, *raised: object) -> None:
        self._variable.set(self._before)
