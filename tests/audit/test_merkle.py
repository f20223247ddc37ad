"""The tree against RFC 6962's own recursion, and what a sealed row gives away."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.naive.merkle import audit_path, tree_hash
from traceprop.audit import merkle

ENTRIES = [hashlib.sha256(bytes([i])).digest() for i in range(70)]


@pytest.mark.parametrize("n", range(len(ENTRIES) + 1))
def test_root_is_that_of_the_rfc(n: int):
    assert merkle.root(ENTRIES[:n]) == tree_hash(ENTRIES[:n])


def test_root_of_certificate_transparency_test_vectors():
    """The reference tree of the certificate-transparency project, published with RFC 6962."""
    entries = [
        bytes.fromhex(text)
        for text in (
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        )
    ]
    root = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    assert merkle.root(entries).hex() == root


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 9, 31, 33, 64, 70])
def test_every_path_is_that_of_the_rfc_and_leads_to_the_root(n: int):
    entries = ENTRIES[:n]
    for i, entry in enumerate(entries):
        path = merkle.inclusion_path(entries, i)
        assert path == audit_path(i, entries)
        assert merkle.root_from_path(entry, i, n, path) == merkle.root(entries)


@given(st.integers(1, 70), st.data())
def test_a_path_proves_only_its_own_entry_and_place(n: int, data: st.DataObject):
    entries = ENTRIES[:n]
    i = data.draw(st.integers(0, n - 1))
    j = data.draw(st.integers(0, n - 1).filter(lambda j: j != i) if n > 1 else st.just(n))
    path, root = merkle.inclusion_path(entries, i), merkle.root(entries)
    assert merkle.root_from_path(ENTRIES[j % 70], i, n, path) != root or j == i
    assert merkle.root_from_path(entries[i], j, n, path) != root
    assert merkle.root_from_path(entries[i], i, n, [*path, b"\0" * 32]) is None
    if path:
        assert merkle.root_from_path(entries[i], i, n, path[:-1]) != root


def test_an_inner_node_does_not_pass_as_a_leaf():
    left, right = (merkle.leaf_hash(entry) for entry in ENTRIES[:2])
    assert merkle.root([left + right]) != merkle.root(ENTRIES[:2])


def test_there_is_no_path_to_an_entry_that_is_not_there():
    with pytest.raises(IndexError, match="no entry 3 among 3"):
        merkle.inclusion_path(ENTRIES[:3], 3)


def test_opening_one_entry_does_not_open_another():
    key = b"k" * merkle.KEY_BYTES
    salts = [merkle.salt_of(key, message) for message in (b"one", b"two")]
    assert salts[0] != salts[1]
    # The salt of one message seals another one to something else than its own salt does.
    assert merkle.seal(salts[0], b"two") != merkle.seal(salts[1], b"two")
    assert key not in salts
