"""Programs that write into other readings of the same bytes: fields, texts, dates, objects."""

from __future__ import annotations

import numpy as np
import pytest

from tests.lineage.adversary import (
    DAYS,
    LONG_WORDS,
    OBJECTS,
    RECORDS,
    WORDS,
    Programs,
    V,
    W,
    X,
)
from traceprop.testing import assert_sound

PROGRAMS = Programs()


@PROGRAMS.on(V)
def _fields_by_offset(v):
    whole, half = v.getfield(v.dtype), v.getfield(np.float32, 4)
    whole[0] = v[3]
    half[1] = 2
    return v, whole, half


@PROGRAMS.on(V)
def _bytes_by_other_types(v):
    numbers, every_other = v.view(np.int64), v[::2].view(np.int64)
    numbers[2] = 7
    every_other[1] = 3
    pairs, named = v[:4].view(np.complex128), v[:4].view([("x", "f8"), ("y", "f8")])
    pairs[0] = 2
    named["y"][1] = v[4]
    v.view("u1")[:8] = 0
    return v, numbers, every_other, pairs, named


@PROGRAMS.on(X)
def _rows_by_other_types(x):
    named, pairs, cells = x.view([("p", "f8"), ("q", "f8")]), x.view(complex), x.view(np.uint8)
    named["p"][1] = 5
    named[2] = named[3]
    pairs[0] = 1j
    cells[3, :4] = 1
    return x, named, pairs, cells


@PROGRAMS.on(V + 1j * W)
def _parts_of_complex_numbers(z):
    z.real[1:] = z.imag[:-1]
    z.real = z.imag * 2
    z.imag[z.real > 0] = 0
    return z, z.real, z.imag


@PROGRAMS.on(RECORDS)
def _fields_of_records(r):
    r["a"] = r["b"][::-1]
    field, one = r["b"], r[["b"]]
    field[1:] = r["a"][:-1]
    one["b"][0] = 9
    r[1] = r[0]
    r[1:]["a"] += 1
    other = r[::-1].copy()
    other["a"][0] = r["b"][2]
    r[["a", "b"]] = r[["a", "b"]][::-1]
    return r, field, one, other, r == other, r[r["a"] > 2], np.sort(r, order="b")


@PROGRAMS.on(np.array([(1, [2.0, 3, 4]), (3, [4.0, 1, 2])], dtype=[("a", "i8"), ("f", "f8", (3,))]))
def _fields_of_several_numbers(r):
    numbers = r["f"]
    numbers[:, 1] = r["a"]
    numbers[0] = numbers[1]
    r["f"] = r["f"][::-1]
    turned = r["f"].T
    turned[2] = r["a"] * 2.0
    return r, numbers, turned, r["f"].sum(axis=1), r[0]["f"]


@PROGRAMS.on(
    np.array(
        [((1.0, 2.0), 3), ((4.0, 5.0), 6)], dtype=[("p", [("x", "f8"), ("y", "f8")]), ("q", "i8")]
    )
)
def _records_in_records(r):
    points = r["p"]
    points["x"][0] = r["p"]["y"][1]
    points[1] = points[0]
    r[1]["q"] = 7
    return r, points, r["p"]["x"]


@PROGRAMS.on(LONG_WORDS)
def _texts_of_any_width(t):
    t[1:3] = t[:2]
    other = t[::-1].copy()
    other[:1] = t[2:3]
    np.copyto(other, t[::-1], where=t > "a")
    turned = t.reshape(2, 2).T
    turned[:1, 1] = t[:1]
    return t, other, turned, np.where(t == "cc", t, other), np.unique(t), np.argsort(t)


@PROGRAMS.on(WORDS)
def _texts_of_one_width(t):
    t[1:3] = t[:2]
    letters = t.view("U1")
    letters[3] = "q"
    return t, letters, t == 5, t != None, np.char.join("-", t)  # noqa: E711


@PROGRAMS.on(DAYS)
def _dates(d):
    d[1] = d[3]
    numbers = d.view("i8")
    numbers[0] = 5
    d += np.timedelta64(1, "D")
    return d, numbers, np.sort(d), d.max(), np.where(np.isnat(d), d[1], d)


@PROGRAMS.on(OBJECTS)
def _objects(o):
    o[1:] = o[:-1]
    sums = o + o[::-1]
    sums[0] = 7
    return o, sums, o > 2, np.cumsum(o), np.where(o > 2, o, 0), np.add.accumulate(o)


@pytest.mark.parametrize(("function", "arrays"), PROGRAMS)
def test_it_is_sound(function, arrays):
    assert_sound(function, *arrays)
