"""Doors out of the lineage: each records, warns once per line, and raises under strict."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from traceprop import lineage
from traceprop.errors import EscapeError, LineageEscapeWarning
from traceprop.lineage.recording.escapes import forget_warned


@pytest.fixture(autouse=True)
def _new_places():
    forget_warned()


@pytest.fixture
def x():
    return lineage.array([1.0, 2.0, 3.0], name="x")


DOORS = {
    "np.asarray": np.asarray,
    "np.array": lambda x: np.array([x, x]),
    "float": lambda x: float(x[0]),
    "int": lambda x: int(x[1]),
    "complex": lambda x: complex(x[1]),
    "a branch on a value": lambda x: 1 if x[0] > 0 else 2,
    "index": lambda x: list(range(5))[x.astype(int)[0]],
    "item": lambda x: x[0].item(),
    "tolist": lambda x: x.tolist(),
    "tobytes": lambda x: x.tobytes(),
    "hash": lambda x: {x[0]: 1},
    "in": lambda x: 2.0 in x,
    "allclose": lambda x: np.allclose(x, 1),
    "array_equal": lambda x: np.array_equal(x, x),
    "memoryview": lambda x: x.data,
    "dlpack": np.from_dlpack,
    "plain[tensor]": lambda x: np.eye(4)[x.astype(int)],
    "plain[0] = tensor": lambda x: np.zeros((2, 3)).__setitem__(0, x),
    "math": lambda x: __import__("math").sqrt(x[0]),
}


@pytest.mark.parametrize("door", DOORS)
def test_every_door_warns_and_raises_under_strict(x, door):
    with pytest.warns(LineageEscapeWarning, match="leave the lineage"):
        DOORS[door](x)
    with lineage.strict(), pytest.raises(EscapeError, match="while strict is on"):
        DOORS[door](x)


@pytest.mark.parametrize(
    "quiet",
    [
        len,
        repr,
        str,
        np.shape,
        np.ndim,
        lambda x: x.shape,
        lambda x: x.dtype == np.float64,
        lambda x: np.result_type(x, np.int8),
        lambda x: f"{x}",
        lineage.values,
        lambda x: list(x),
        lambda x: x._repr_html_(),
    ],
)
def test_shapes_types_and_printing_are_no_doors(x, quiet):
    with lineage.strict():
        quiet(x)
    assert x.escapes() == []


def test_an_escape_is_recorded_where_it_happened(x):
    with pytest.warns(LineageEscapeWarning) as caught:
        np.asarray(x)
    (escape,) = x.escapes()
    assert escape.door == "np.asarray"
    assert escape.filename == __file__
    assert caught[0].filename == __file__
    assert caught[0].lineno == escape.line


def test_one_warning_per_line(x):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(5):
            np.asarray(x)
        np.asarray(x)
    assert len(caught) == 2
    assert len(x.escapes()) == 6


def test_strict_ends_with_its_block_and_can_be_lifted_inside(x):
    with lineage.strict(), lineage.strict(False), pytest.warns(LineageEscapeWarning):
        float(x[0])
    with pytest.warns(LineageEscapeWarning):
        float(x[0])


def test_data_made_with_like_comes_from_somewhere_unknown(x):
    made = np.asarray([1.0, 2.0], like=x)
    (source,) = (x[:2] + made).sources().keys() - {"x"}
    assert str(source).startswith("unknown:")
