"""A training that is kept stands for the recipe that did it: every change of it is another one."""

from __future__ import annotations

import functools
import importlib.util

import numpy as np
import pytest

from tests.attribution.evaluate.recipes import train
from traceprop.attribution.evaluate.recipe_digest import recipe_digest
from traceprop.errors import AttributionError

MODULE = """
import numpy as np

RATE = 0.1


class Base:
    def width(self):
        return 8


class Net(Base):
    depth = 2


def helper(n):
    return helper(n - 1) if n else 0


def train(inputs, targets, seed, *, steps=60):
    return [Net, helper(RATE), np.zeros(3), (lambda z: z + 1)(steps)]
"""


def _digest_of(folder, text):
    path = folder / "recipe.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("recipe", path)
    module = importlib.util.module_from_spec(spec)
    # Python would take a source of the same second and size for the one that it compiled.
    exec(compile(text, path, "exec"), vars(module))
    return recipe_digest(module.train)


def test_an_edit_of_anything_that_the_recipe_uses_is_another_recipe(tmp_path):
    edits = [
        ("RATE = 0.1", "RATE = 0.2"),
        ("return 8", "return 9"),
        ("depth = 2", "depth = 3"),
        ("else 0", "else 1"),
        ("steps=60", "steps=61"),
        ("z + 1", "z + 2"),
        ("np.zeros", "np.ones"),
    ]
    found = [_digest_of(tmp_path, MODULE.replace(*edit)) for edit in edits]
    found.append(_digest_of(tmp_path, MODULE))
    assert len(set(found)) == len(found)
    moved = MODULE.replace("RATE = 0.1", "UNUSED = 3\n\n# A comment.\nRATE = 0.1")
    assert _digest_of(tmp_path, moved) == found[-1]


def test_what_a_recipe_closes_over_or_was_given_is_part_of_it():
    def make(rate, table=None):
        def recipe(inputs, targets, seed):
            return rate, table

        return recipe

    table = np.arange(5000.0)
    other = table.copy()
    other[2500] = 0.0  # which the text of so large an array doesn't show
    kinds = [make(0.1), make(0.2), make(1), make(True), make({"a": [1, (2,)]}), make({3})]
    kinds += [make(0.1, table), make(0.1, other), functools.partial(train, seed=1)]
    kinds += [functools.partial(train, seed=2), train]
    digests = [recipe_digest(kind) for kind in kinds]
    assert len(set(digests)) == len(digests)
    assert recipe_digest(make(0.1, table.copy())) == recipe_digest(make(0.1, table))
    with pytest.raises(AttributionError, match=r"rate of .*recipe holds a object"):
        recipe_digest(make(object()))


def test_an_object_that_can_be_called_is_refused():
    class Recipe:
        def __call__(self, inputs, targets, seed):
            return None

    with pytest.raises(AttributionError, match="the recipe holds a Recipe"):
        recipe_digest(Recipe())
