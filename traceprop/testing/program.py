"""Programs as data: a list of NumPy calls on numbered variables, run on plain or tracked arrays.

The variables are numbered in the order in which they are made: the sources first, then what each
step returns. A step that writes returns nothing. A program prints as the code that it is.
"""

from __future__ import annotations

import inspect
import operator
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MOST_CELLS: Final = 64
"""Cells of a variable at most; a step that makes a larger one is left out."""


@dataclass(frozen=True)
class Var:
    """Variable number `index` of a program."""

    index: int

    def __repr__(self) -> str:
        return f"v{self.index}"


@dataclass(frozen=True)
class Step:
    """One call.

    Attributes
    ----------
    function : callable
        A NumPy function, a ufunc or its bound method, or one of `operator`.
    args, kwargs : tuple, dict
        With a `Var` where a variable stands, in tuples, lists and slices too.
    makes : int
        How many variables it makes; none if it is called for what it writes into an argument. When
        it makes another number it raises ValueError, since all later numbers would be wrong.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    makes: int = 1

    def run(self, variables: list[Any]) -> None:
        """Do the call, and put what it makes behind the other variables."""
        result = self.result(variables)
        if self.makes:
            made = _results(result)
            if len(made) != self.makes:  # unstacking a shape that depends on values
                raise ValueError(f"{self} made {len(made)} variables instead of {self.makes}")
            variables.extend(made)

    def result(self, variables: list[Any]) -> Any:
        """Do the call and return what it returns."""
        args = tuple(_fill(value, variables) for value in self.args)
        kwargs = {name: _fill(value, variables) for name, value in self.kwargs.items()}
        return self.function(*args, **kwargs)

    def named(self, kept: int) -> Step:
        """Return the same call with the arguments behind the first `kept` given by name.

        Where the function takes no names, or doesn't say them, it stays as it is.
        """
        try:
            parameters = inspect.signature(self.function).parameters.values()
        except (TypeError, ValueError):
            return self
        both = inspect.Parameter.POSITIONAL_OR_KEYWORD
        names = [p.name for p in takewhile(lambda p: p.kind == both, parameters)]
        if len(self.args) > len(names):
            return self
        by_name = dict(zip(names[kept:], self.args[kept:], strict=False))
        return Step(self.function, self.args[:kept], {**by_name, **self.kwargs}, self.makes)

    def __str__(self) -> str:
        words = [_text(value) for value in self.args]
        words += [f"{name}={_text(value)}" for name, value in self.kwargs.items()]
        return f"{name_of(self.function)}({', '.join(words)})"


@dataclass(frozen=True)
class Program:
    """Steps on `n_sources` arrays.

    Calling it with the source arrays returns every variable as it is in the end, so that what was
    written through a view shows in the array beneath, and the other way round.
    """

    n_sources: int
    steps: tuple[Step, ...]

    def __call__(self, *sources: Any) -> list[Any]:
        """Run the steps, and return all variables."""
        variables = list(sources)
        for step in self.steps:
            step.run(variables)
        return variables

    def __str__(self) -> str:
        lines, count = [f"# sources v0 to v{self.n_sources - 1}"], self.n_sources
        for step in self.steps:
            made = ", ".join(f"v{count + i}" for i in range(step.makes))
            lines.append(f"{made} = {step}" if made else str(step))
            count += step.makes
        return "\n".join(lines)


def run_quietly(function: Callable[..., Any], *arrays: Any) -> Any:
    """Call a function with floating-point errors and warnings ignored."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arrays)


def name_of(function: Callable[..., Any]) -> str:
    """Name of a function as code would have it."""
    owner = getattr(function, "__self__", None)
    name = str(getattr(function, "__name__", function))
    if isinstance(owner, np.ufunc):
        return f"np.{owner.__name__}.{name}"
    if isinstance(function, np.ufunc):
        return f"np.{name}"
    module = str(getattr(function, "__module__", "") or "").replace("_operator", "operator")
    return f"{module}.{name}".replace("numpy.", "np.").removeprefix("builtins.")


def method(name: str) -> Callable[..., Any]:
    """Return the function that calls an array's method, or reads its attribute."""

    def call(array: Any, *args: Any, **kwargs: Any) -> Any:
        found = getattr(array, name)
        return found(*args, **kwargs) if callable(found) else found

    call.__name__, call.__module__ = name, "ndarray"
    return call


class DoesNotFit(Exception):
    """A step can't be made of the variables that there are; the builder leaves it out."""


class Builder:
    """Builds a program while running it on plain arrays, so that each step fits what is there."""

    def __init__(self, sources: Sequence[Array]) -> None:
        self._sources = sources
        self.values: list[Any] = [source.copy() for source in sources]
        self.steps: list[Step] = []

    def value(self, var: Var) -> Any:
        """Return the plain value of a variable."""
        return self.values[var.index]

    def matching(self, test: Callable[[Any], bool]) -> list[Var]:
        """Variables whose value passes a test, the newest first."""
        return [Var(i) for i in range(len(self.values) - 1, -1, -1) if test(self.values[i])]

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Var:
        """Add a step and return the first variable that it makes; the others follow it."""
        first = len(self.values)
        made = _results(Step(function, args, kwargs).result(self.values))
        if not made or any(value.size > MOST_CELLS for value in made):
            raise DoesNotFit
        self.values.extend(made)
        self.steps.append(Step(function, args, kwargs, makes=len(made)))
        return Var(first)

    def write(self, function: Any, *args: Any, **kwargs: Any) -> None:
        """Add a step that writes into one of its arguments."""
        step = Step(function, args, kwargs, makes=0)
        step.run(self.values)
        self.steps.append(step)

    def attempt(self, make: Callable[[Builder], None]) -> None:
        """Let `make` add steps; when it can't, leave the program as it was."""
        count = len(self.steps)
        try:
            run_quietly(make, self)
        except (DoesNotFit, *FAILURES):
            del self.steps[count:]
            self.values = run_quietly(self.program(), *(s.copy() for s in self._sources))

    def program(self) -> Program:
        """Return the program so far."""
        return Program(len(self._sources), tuple(self.steps))


FAILURES: Final = (ValueError, TypeError, IndexError, ArithmeticError, np.linalg.LinAlgError)
"""What NumPy raises when a call doesn't suit its arguments."""


def _fill(template: Any, variables: list[Any]) -> Any:
    kind = type(template)
    if kind is Var:
        return variables[template.index]
    if kind is tuple or kind is list:
        return kind(_fill(each, variables) for each in template)
    return template.copy() if kind is np.ndarray else template


def _results(result: Any) -> list[Any]:
    """Return the arrays in what a call returned, at most three."""
    if isinstance(result, (tuple, list)):
        return [each for part in result for each in _results(part)][:3]
    return [result] if hasattr(result, "dtype") and hasattr(result, "shape") else []


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"np.array({value.tolist()}, dtype={str(value.dtype)!r})"
    if isinstance(value, (tuple, list)):
        words = ", ".join(map(_text, value))
        return f"[{words}]" if isinstance(value, list) else f"({words},)"
    if value is Ellipsis:
        return "..."
    return name_of(value) if callable(value) and not isinstance(value, type) else repr(value)


GETITEM: Final = operator.getitem
SETITEM: Final = operator.setitem
