"""Rows found again in a later version: the kernel against plain Python, and against known edits."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from numba_kernels.row_matches import NOWHERE, match_rows
from tests.naive.row_matches import matches

texts = st.lists(st.sampled_from([b"a", b"b", b"c", b"d", b"e"]), max_size=12)


def by_kernel(old: list[bytes], new: list[bytes]) -> list[int | None]:
    numbers = {text: i for i, text in enumerate({*old, *new})}
    one, other = (np.array([numbers[t] for t in rows], np.uint64) for rows in (old, new))
    return [None if j == NOWHERE else j for j in match_rows(one, other).tolist()]


@given(texts, texts)
@example([], [b"a"])
@example([b"a"], [])
@example([b"a", b"b", b"a"], [b"b", b"a"])
@example([b"a", b"a", b"b", b"a"], [b"c", b"a", b"a", b"d", b"a", b"b"])
def test_the_kernel_matches_as_plain_python_does(old: list[bytes], new: list[bytes]) -> None:
    assert by_kernel(old, new) == matches(old, new)


@given(texts, texts)
def test_as_many_copies_are_matched_as_both_versions_have(
    old: list[bytes], new: list[bytes]
) -> None:
    found = by_kernel(old, new)
    taken = [j for j in found if j is not None]
    assert len(set(taken)) == len(taken)
    assert all(old[i] == new[j] for i, j in enumerate(found) if j is not None)
    for text in {*old, *new}:
        matched = sum(old[i] == text for i, j in enumerate(found) if j is not None)
        assert matched == min(old.count(text), new.count(text))


def test_a_row_inserted_above_a_million_moves_each_by_one() -> None:
    old = np.random.default_rng(0).integers(0, 2**63, 1_000_000).astype(np.uint64)
    new = np.concatenate([old[:7], np.array([1], np.uint64), old[7:]])
    expected = np.arange(1_000_000) + (np.arange(1_000_000) >= 7)
    assert np.array_equal(match_rows(old, new), expected)
    shuffled = np.random.default_rng(1).permutation(1_000_000)
    assert np.array_equal(match_rows(old[shuffled], old), shuffled)
