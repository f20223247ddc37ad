"""Random Python source: whatever keeps a value alive, no operator may write into it.

Large results are written into operands that die (`recording.dying_operands`). Here random functions
of nested expressions, with names, closures, containers, views, comprehensions and calls from C,
run on plain and on tracked arrays large enough for that. Every value that they kept must be equal.
"""

from __future__ import annotations

import functools
import operator
import random

import numpy as np
import pytest

from traceprop.lineage import strict
from traceprop.lineage.recording.tracked import LARGE
from traceprop.testing import assert_same_values
from traceprop.testing.oracle import track

N = LARGE + 7


class Source:
    """Writes a random function, statement by statement."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._names = ["x", "y"]
        self._made = 0

    def function(self) -> str:
        lines = ["def program(x, y):", "    kept = []"]
        for _ in range(self._random.randint(2, 6)):
            lines.extend("    " + line for line in self._statement())
        return "\n".join([*lines, f"    return kept, {', '.join(self._names)}"])

    def _fresh(self) -> str:
        self._made += 1
        return f"v{self._made}"

    def _statement(self) -> list[str]:
        kind = self._random.randrange(8)
        if kind == 0:
            target = self._random.choice(self._names)
            return [f"{target} {self._random.choice(['+=', '-=', '*='])} {self._expression(2)}"]
        if kind == 1:
            other = self._random.choice(self._names)
            name = self._fresh()
            self._names.append(name)
            return [f"{name} = {other}"]
        if kind == 2:
            body, argument, name = self._expression(2), self._expression(2), self._fresh()
            self._names.append(name)
            return [f"def inner(t): return t * 2 + {body}", f"{name} = inner({argument})"]
        if kind == 3:
            name = self._fresh()
            lines = [f"for each in ({self._expression(2)}, {self._expression(1)}):",
                     f"    {name} = each * 2 - {self._expression(1)}"]  # fmt: skip
            self._names.append(name)
            return lines
        name = self._fresh()
        line = f"{name} = {self._expression(4)}"
        self._names.append(name)
        return [line]

    def _expression(self, depth: int) -> str:
        if depth == 0:
            name = self._random.choice(self._names)
            return self._random.choice([name, name, f"({name} * 2)", f"(0.5 - {name})"])
        a, b = self._expression(depth - 1), self._expression(depth - 1)
        name = self._random.choice(self._names)
        return self._random.choice(
            [
                *[f"({a} {op} {b})" for op in "+-*"] * 4,
                f"({a} / {name})",
                f"({name} * {b} + {a})",
                f"(-({a}))",
                f"same({a})",
                f"keep(kept, {name} * {a})",
                f"({a} * {name}, {b})[0]",
                f"[each * 2 + {a} for each in ({name} * 2, {name})][0]",
                f"({a} if len(kept) < 3 else {b})",
                f"({name} * {a})[:]",
                f"({name} * {a}).T",
                f"({name} + {a}).copy()",
                f"reduce(add, [{name}, {a}, {b}])",
                f"sum([{name} * {a}, {b}])",
                f"next(map(add, ({name} * {a},), ({b},)))",
                f"((w := {name} * {a}) + w * {b})",
                f"(lambda t: t * 2 - t)({name} + {a})",
                f"np.where({name} > 0, {a}, {b})",
                f"max_of({name} * {a}, {b})",
            ]
        )


def keep(kept, value):
    kept.append(value)
    return value


TOOLS = {
    "np": np, "same": lambda value: value, "keep": keep, "reduce": functools.reduce,
    "add": operator.add, "max_of": np.maximum,
}  # fmt: skip


def compiled(source):
    namespace = dict(TOOLS)
    exec(compile(source, "<random>", "exec"), namespace)
    return namespace["program"]


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_random_functions_keep_their_values(first):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=N), rng.normal(size=N)]
    for seed in range(first, first + 100):
        source = Source(seed).function()
        program = compiled(source)
        with np.errstate(all="ignore"):
            plain = program(*(each.copy() for each in arrays))
            with strict():
                tracked = program(*track(arrays))
        try:
            assert_same_values(plain, tracked)
        except AssertionError as error:
            error.add_note(f"seed {seed}\n{source}")
            raise
