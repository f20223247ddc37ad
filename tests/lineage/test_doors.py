"""Doors out of the lineage: each records, warns once per line, and raises under strict."""

from __future__ import annotations

import contextvars
import copy
import ctypes
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from traceprop import lineage
from traceprop.errors import EscapeError, LineageError, LineageEscapeWarning, LineageWarning
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
    first, second = x.escapes()
    assert second.line == first.line + 1


def test_what_left_by_a_temporary_is_listed_by_all_that_shares_its_sources(x):
    with pytest.warns(LineageEscapeWarning):
        scaled = x / float(x.std())
    with pytest.warns(LineageEscapeWarning):
        kept = scaled[np.asarray(scaled * 2) > 1]
    assert [each.door for each in kept.escapes()] == ["float", "np.asarray"]
    assert kept.escapes() == scaled.escapes() == x.escapes() == (x + 1).escapes()
    assert lineage.array([1.0]).escapes() == []


def test_what_left_without_a_source_is_still_listed():
    made = lineage.array([3.0, 4.0], name="y")
    both = made + lineage.array([1.0, 2.0], name="z")
    with pytest.warns(LineageEscapeWarning):
        both.tolist()
    assert made.escapes() == both.escapes() != []


def test_a_loop_with_escapes_is_walked_once(x):
    """A walk that began anew at each step would take 20,000² / 2 of them."""

    def grow(x):
        for _ in range(20_000):
            x = x * 0.5 + 1
            if x.sum() > 1e9:
                break
        return x

    with pytest.warns(LineageEscapeWarning):
        x = grow(x)
    assert [each.door for each in x.escapes()] == ["a branch on a value"]


def test_escapes_from_two_threads_are_both_noted(x):
    def leave(doors):
        for door in doors:
            getattr(x, door)()

    doors = ["tolist", "tobytes"] * 50
    with pytest.warns(LineageEscapeWarning), ThreadPoolExecutor(2) as pool:
        list(pool.map(leave, [doors, doors[::-1]]))
    assert {each.door for each in x.escapes()} == {"tolist", "tobytes"}


@pytest.mark.parametrize("carried", ["pickle", "copy", "saved"])
def test_escapes_go_where_the_lineage_goes(x, tmp_path, carried):
    with pytest.warns(LineageEscapeWarning):
        scaled = x / float(x.std())
    if carried == "pickle":
        again = pickle.loads(pickle.dumps(scaled))  # noqa: S301
    elif carried == "copy":
        again = copy.deepcopy(scaled)
    else:
        lineage.save_lineage(tmp_path / "one", scaled)
        again = lineage.load_lineage(tmp_path / "one")
    assert again.escapes() == scaled.escapes() != []


def test_the_caller_is_whoever_is_not_traceprop_or_numpy(x, tmp_path):
    folder = Path(lineage.__file__).parents[1]
    program = compile("x.tolist()", f"{folder}_user.py", "exec")
    with pytest.warns(LineageEscapeWarning):
        exec(program, {"x": x})
    assert x.escapes()[0].filename == f"{folder}_user.py"


def test_strict_and_granularity_hold_from_the_statement_on(x):
    context = contextvars.copy_context()
    context.run(_check_statements, x)
    with pytest.warns(LineageEscapeWarning):
        x.tolist()
    with pytest.raises(LineageError, match="no granularity"):
        lineage.granularity("cell")


def _check_statements(x):
    lineage.strict()
    lineage.granularity("op")
    with pytest.raises(EscapeError):
        x.tolist()
    assert x[x > 1].node.args[1].array is None
    with lineage.strict(False), pytest.warns(LineageEscapeWarning):
        x.tolist()
    lineage.strict(False)
    with pytest.warns(LineageEscapeWarning):
        x.tobytes()


MEMORY = {
    "np.asarray": np.asarray,
    "np.array": lambda k: np.array(k, copy=False),
    "dlpack": lambda k: (np.from_dlpack(k), k._array)[1],  # NumPy's own view can't be written
    "data": lambda k: np.asarray(k.data),
    "ctypes": lambda k: np.ctypeslib.as_array(
        k.ctypes.data_as(ctypes.POINTER(ctypes.c_bool)), k.shape
    ),
    "values": lambda k: lineage.values(k, writable=True),
}


@pytest.mark.parametrize("n", [10, 10_000])
@pytest.mark.parametrize("door", MEMORY)
@pytest.mark.parametrize("first", ["mask", "door"])
@pytest.mark.filterwarnings("ignore::traceprop.errors.LineageEscapeWarning")
def test_memory_that_was_handed_out_may_be_written(n, door, first):
    Y = lineage.array(np.arange(float(n)), name="Y")
    mask = Y >= 5
    chosen = Y[mask] if first == "mask" else None
    plain = MEMORY[door](mask)
    if chosen is None:
        chosen = Y[mask]
    plain[:] = False
    plain[0] = True
    if first == "door" and n > 4096:
        with pytest.warns(LineageWarning, match="changed afterwards"):
            found = chosen.sources()["Y"]
        assert found == lineage.RowSet(range(n))  # sound, and said
    else:
        assert chosen.sources()["Y"] == lineage.RowSet(range(5, n))


def test_a_plain_mask_that_was_written_by_numpy_is_not_trusted():
    Y, mask = lineage.array(np.arange(10.0), name="Y"), np.zeros(10, dtype=bool)
    with pytest.warns(LineageEscapeWarning):
        np.greater(Y, 5, out=mask)
    chosen = Y[mask]
    mask[:] = True
    assert chosen.sources()["Y"] == lineage.RowSet(range(6, 10))


def test_values_are_a_view_that_cannot_be_written(x):
    for plain in (lineage.values(x), x.numpy()):
        with pytest.raises(ValueError, match="read-only"):
            plain[0] = 9
    assert x.numpy().base is x._array
    assert lineage.values(3.0) == 3.0
    assert x.escapes() == []


def test_strict_ends_with_its_block_and_can_be_lifted_inside(x):
    with lineage.strict(), lineage.strict(False), pytest.warns(LineageEscapeWarning):
        float(x[0])
    with pytest.warns(LineageEscapeWarning):
        float(x[0])


def test_data_made_with_like_comes_from_somewhere_unknown(x):
    made = np.asarray([1.0, 2.0], like=x)
    (source,) = (x[:2] + made).sources().keys() - {"x"}
    assert str(source).startswith("unknown:")
