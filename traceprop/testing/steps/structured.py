"""Records: their fields as views, records as rows, and the functions that add and drop fields."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib import recfunctions

from traceprop.testing.choices import Choices
from traceprop.testing.program import GETITEM, SETITEM, Builder, Var
from traceprop.testing.steps import REAL, index_of, mask_of, pick, step

_TYPE = np.dtype([("a", "f8"), ("b", "f4"), ("c", "f8", (2,))])


def _records(choices: Choices, b: Builder, ndim: int = 1) -> Var:
    """Pick records, or make some whose first field is a row's numbers."""
    if choices.flag():
        return pick(choices, b, "V", ndim=ndim, test=lambda value: value.dtype.names)
    x = pick(choices, b, REAL)
    records = b.call(np.zeros_like, x, dtype=_TYPE)
    b.write(SETITEM, records, "a", x)
    return records


def _field(choices: Choices, b: Builder, records: Var) -> Var:
    return b.call(GETITEM, records, choices.pick(b.value(records).dtype.names))


@step("structured")
def _read_field(choices: Choices, b: Builder) -> None:
    _field(choices, b, _records(choices, b, ndim=0))


@step("structured")
def _write_field(choices: Choices, b: Builder) -> None:
    records = _records(choices, b)
    name = choices.pick(b.value(records).dtype.names)
    shape = b.value(records)[name].shape
    value = pick(choices, b, REAL, ndim=0, test=lambda v: v.shape in ((), shape[-1:], shape))
    b.write(SETITEM, records, name, value)


@step("structured")
def _write_through_field(choices: Choices, b: Builder) -> None:
    records = _records(choices, b)
    part = b.call(GETITEM, records, choices.slice(len(b.value(records))))
    field = _field(choices, b, part)
    value = b.value(field)
    if choices.flag() and value.ndim and value.shape[0]:
        b.write(SETITEM, field, choices.integer(0, len(value) - 1), 7)
    else:
        b.write(np.multiply, field, 2, out=field, casting="unsafe")


@step("structured")
def _several_fields(choices: Choices, b: Builder) -> None:
    records = _records(choices, b)
    names = list(b.value(records).dtype.names)
    some = b.call(GETITEM, records, choices.pick((names[:1], names[-1:], names)))
    if choices.flag():
        b.write(SETITEM, some, choices.slice(len(b.value(some))), 0)


@step("structured")
def _rows_of_records(choices: Choices, b: Builder) -> None:
    records = _records(choices, b)
    n = len(b.value(records))
    way = choices.integer(0, 3)
    if way == 0:
        b.call(GETITEM, records, mask_of(choices, b, b.value(records).shape))
    elif way == 1:
        b.call(GETITEM, records, index_of(choices, b, n))
    elif way == 2:
        b.call(np.concatenate, [records, records])
    else:
        b.write(SETITEM, records, choices.slice(n), b.call(GETITEM, records, slice(0, 1)))


@step("structured")
def _one_record(choices: Choices, b: Builder) -> None:
    """Write into a record: a view, although it is a scalar."""
    records = _records(choices, b)
    row = b.call(GETITEM, records, choices.integer(0, max(len(b.value(records)) - 1, 0)))
    value = pick(choices, b, REAL, ndim=0, most=0) if choices.flag() else 3
    b.write(SETITEM, row, b.value(row).dtype.names[0], value)


@step("structured")
def _bytes_of_rows_as_records(choices: Choices, b: Builder) -> None:
    def pairs(value: Any) -> bool:
        return bool(value.dtype == np.float64 and value.shape[-1] % 2 == 0 and value.size)

    x = pick(choices, b, "f", test=pairs)
    b.call(_viewed, x)


def _viewed(x: Any) -> Any:
    return x.view([("x", "f8"), ("y", "f8")])


@step("structured")
def _whole_tables(choices: Choices, b: Builder) -> None:
    way = choices.integer(0, 4)
    if way == 0:
        x = pick(choices, b, "f", ndim=2, most=2, test=lambda value: value.shape[-1])
        b.call(recfunctions.unstructured_to_structured, x)
        return
    records = _records(choices, b)
    names = b.value(records).dtype.names
    if way == 1:
        b.call(recfunctions.structured_to_unstructured, records)
    elif way == 2:
        b.call(recfunctions.drop_fields, records, names[0])
    elif way == 3:
        b.call(recfunctions.repack_fields, b.call(GETITEM, records, list(names[:1])))
    else:
        b.call(recfunctions.rename_fields, records, {names[0]: "first"})
