"""The row hash: published values of XXH64, and the fast kernels against plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from numba_kernels.row_hashes import hash_spans, hash_words
from tests.naive.row_hashes import MASK, hash_of_words, xxh64

# The bytes of xxHash's own sanity check (cli/xsum_sanity_check.c), and its values at seed 0 and at
# seed 2654435761, from the project's repository.
_PRIME32, _PRIME64 = 2654435761, 11400714785074694797  # of its pseudo-random bytes
_SANITY = {
    (0, 0): 0xEF46DB3751D8E999,
    (0, _PRIME32): 0xAC75FDA2929B17EF,
    (1, 0): 0xE934A84ADB052768,
    (1, _PRIME32): 0x5014607643A9B4C3,
    (4, 0): 0x9136A0DCA57457EE,
    (14, 0): 0x8282DCC4994E35C8,
    (14, _PRIME32): 0xC3BD6BF63DEB6DF0,
    (222, 0): 0xB641AE8CB691C174,
    (222, _PRIME32): 0x20CB8AB7AE10C14A,
}
# Rows of text, as a saved lineage holds their hashes: these must never change.
_ROWS = {
    b"": 0xEF46DB3751D8E999,
    b"a": 0xD24EC4F1A98C6E5B,
    b"abc": 0x44BC2CF5AD770999,
    b"39, State-gov, 77516, Bachelors, 13": 0xCA0C2639E8136799,
}


def sanity_bytes(length: int) -> bytes:
    generator, made = _PRIME32, bytearray()
    for _ in range(length):
        made.append(generator >> 56)
        generator = generator * _PRIME64 & MASK
    return bytes(made)


def hashes(messages: list[bytes]) -> list[int]:
    lengths = np.array([len(m) for m in messages], np.uint32)
    starts = (np.cumsum(lengths) - lengths).astype(np.uint32)
    out = np.empty(len(messages), np.uint64)
    data = np.frombuffer(b"##" + b"".join(messages), np.uint8)
    hash_spans(data, starts, lengths, 2, out)
    return out.tolist()


def test_published_values_of_the_plain_function() -> None:
    found = {(n, seed): xxh64(sanity_bytes(n), seed) for n, seed in _SANITY}
    assert {k: hex(v) for k, v in found.items()} == {k: hex(v) for k, v in _SANITY.items()}


def test_stored_rows_keep_their_hash() -> None:
    assert hashes(list(_ROWS)) == list(_ROWS.values())


def test_published_values_of_the_kernel() -> None:
    lengths = [n for n, seed in _SANITY if seed == 0]
    assert hashes([sanity_bytes(n) for n in lengths]) == [_SANITY[n, 0] for n in lengths]


def test_every_length_and_every_alignment() -> None:
    messages = [sanity_bytes(n) for n in range(140)]
    assert hashes(messages) == [xxh64(m) for m in messages]


@given(st.lists(st.binary(max_size=100), max_size=8))
def test_spans_are_hashed_as_plain_python_does(messages: list[bytes]) -> None:
    assert hashes(messages) == [xxh64(m) for m in messages]


@given(
    npst.arrays(
        np.uint64,
        st.tuples(st.integers(0, 13), st.integers(0, 6)),
        elements=st.integers(0, 2**64 - 1),
    )
)
@example(np.arange(13 * 1300, dtype=np.uint64).reshape(13, 1300))
def test_words_are_hashed_as_plain_python_does(words: np.ndarray) -> None:
    out = np.empty(words.shape[1], np.uint64)
    hash_words(words, out)
    sample = range(0, words.shape[1], 97) if words.shape[1] > 100 else range(words.shape[1])
    assert [out[i] for i in sample] == [hash_of_words(words[:, i].tolist()) for i in sample]


@pytest.mark.parametrize("bit", range(0, 64, 7))
def test_one_changed_bit_changes_half_of_the_hash(bit: int) -> None:
    words = np.random.default_rng(0).integers(0, 2**63, (20, 4000)).astype(np.uint64)
    before, after = np.empty(4000, np.uint64), np.empty(4000, np.uint64)
    hash_words(words, before)
    words[bit % 20] ^= np.uint64(1 << bit)
    hash_words(words, after)
    flipped = np.bitwise_count(before ^ after)
    assert abs(flipped.mean() - 32) < 0.5
    assert len(np.unique(np.concatenate([before, after]))) == 8000
