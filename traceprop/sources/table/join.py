"""Joining two tables on equal keys: one step that pairs rows, decided by the keys of both.

Pairs come in the order of the left rows, and within those of the right; a missing key equals none.
The columns of the result are rows of the tables they come from, so lineage goes to both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError
from traceprop.lineage.graph.edge import Edges, extent_of
from traceprop.lineage.graph.node import Node, Op
from traceprop.lineage.recording.calls import call
from traceprop.lineage.registry import implements
from traceprop.lineage.tensor import ProvenanceTensor
from traceprop.sources.table import keys, ops
from traceprop.sources.table.stored import Columns, Stored, select_rows

HOW = ("inner", "left")


def _join(*columns: npt.NDArray[Any], text: Sequence[bool], how: str) -> npt.NDArray[Any]:
    """Pair rows of equal keys.

    Parameters
    ----------
    *columns : ndarray
        The left keys, then the right ones; those of text as codes of the same categories.
    text : sequence of bool
        Which keys are text.
    how : {"inner", "left"}

    Returns
    -------
    integer array, (m, 2)
        A left and a right row each; the right one is -1 where a left row has no match.
    """
    left, right = [], []
    for a, b, is_text in zip(columns[: len(text)], columns[len(text) :], text, strict=True):
        if is_text:
            left.append((a, keys.present_in(a, codes=True)))
            right.append((b, keys.present_in(b, codes=True)))
        else:
            first, second, first_present, second_present = keys.comparable(a, b)
            left.append((first, first_present))
            right.append((second, second_present))
    return np.stack(keys.matching_rows(left, right, how == "left")).T


_JOIN = Op("join", _join)


@implements(_JOIN, family="sources")
def _decided_by_keys(node: Node) -> Edges:
    """Let the keys of both tables decide how many pairs there are, and which."""
    return extent_of(node, range(len(node.inputs)))


def join_columns(
    left: Columns,
    right: Columns,
    on: Mapping[str, str],
    how: str,
    suffixes: tuple[str, str],
) -> dict[str, Stored]:
    """Join two tables.

    Parameters
    ----------
    left, right : mapping of str to Stored
    on : mapping of str to str
        Left key column → right key column; the result has the left one.
    how : {"inner", "left"}
    suffixes : tuple of str
        What is put behind a name that both tables have, on either side.

    Raises
    ------
    SourceError
        Where a pair of keys is of different kinds, or the suffixes leave two columns one name.
    """
    pairs = _pairs([(name, left[name], right[other]) for name, other in on.items()], how)
    # A missing right row is missing in every right column, so that their texts have gaps.
    others = {
        name: column._replace(gaps=column.gaps or how == "left")
        for name, column in right.items()
        if name not in on.values()
    }
    joined = select_rows(left, pairs[:, 0])
    added = select_rows(others, pairs[:, 1])
    clashing = joined.keys() & added.keys()
    result: dict[str, Stored] = {}
    for columns, suffix in ((joined, suffixes[0]), (added, suffixes[1])):
        for name, column in columns.items():
            own = name + suffix if name in clashing and name not in on else name
            if own in result:
                raise SourceError(
                    f"the joined table would have two columns {own!r}; give other suffixes=, or "
                    "rename one of them first"
                )
            result[own] = column
    return result


def _pairs(pairs: Sequence[tuple[str, Stored, Stored]], how: str) -> ProvenanceTensor:
    """Return the rows that are paired, (m, 2), from the key columns of both tables."""
    left, right, text = [], [], []
    for name, a, b in pairs:
        _check_kinds(name, a, b)
        left.append(a.tensor())
        codes = b.tensor()
        if a.categories is not None and b.categories is not None:
            codes = ops.recoded(codes, b.categories, a.categories)
        right.append(codes)
        text.append(a.is_text)
    options = {"text": tuple(text), "how": how}
    paired: ProvenanceTensor = call(_JOIN, (*left, *right), options)
    return paired


def _check_kinds(name: str, a: Stored, b: Stored) -> None:
    kinds = [
        "text" if key.is_text else {"M": "dates", "m": "durations"}.get(key.dtype.kind, "numbers")
        for key in (a, b)
    ]
    if kinds[0] != kinds[1]:
        raise SourceError(
            f"the key {name!r} is {kinds[0]} in the left table and {kinds[1]} in the right one, so "
            "that no row could match; load or make them alike"
        )
