"""The checksum kernel against published vectors and a bit-wise twin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numba_kernels.crc32c import _by_table, crc32c
from tests.naive import store as naive

# RFC 3720, appendix B.4, and the check value of the CRC catalogue.
VECTORS = [
    (b"", 0x00000000),
    (b"123456789", 0xE3069283),
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
]


def _fast(data: bytes, value: int = 0) -> int:
    return crc32c(np.frombuffer(data, np.uint8), value)


@pytest.mark.parametrize(("data", "expected"), VECTORS)
def test_published_vectors(data: bytes, expected: int):
    assert _fast(data) == expected
    assert naive.crc32c(data) == expected


@given(st.binary(max_size=200), st.integers(0, 200))
def test_equals_the_bitwise_twin_whole_and_continued(data: bytes, cut: int):
    assert _fast(data) == naive.crc32c(data)
    assert _fast(data[cut:], _fast(data[:cut])) == naive.crc32c(data)


@given(st.binary(min_size=1, max_size=100), st.data())
def test_every_flipped_bit_is_seen(data: bytes, draw: st.DataObject):
    bit = draw.draw(st.integers(0, 8 * len(data) - 1))
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    assert _fast(bytes(flipped)) != _fast(data)


@pytest.mark.parametrize("size", [8191, 8192, 8193, 24_600, 100_003])
def test_long_streams_taken_in_thirds_equal_the_table(size: int):
    data = np.random.default_rng(size).integers(0, 256, size).astype(np.uint8)
    for value in (0, 1, 0xFFFFFFFF):
        assert crc32c(data, value) == int(_by_table(data, np.uint32(value)))
    assert crc32c(data[:8192]) == naive.crc32c(data[:8192].tobytes())
