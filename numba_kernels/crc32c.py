"""CRC-32C (Castagnoli) of bytes: what the gradient store's checksums are.

Promise: the values of RFC 3720, appendix B.4, on any machine; a value can be continued over the
next bytes, so that a stream needs no copy. On x86-64 with SSE 4.2 by the processor's own
instruction, eight bytes a step and three steps at once, about 15 GB/s on one core; elsewhere
sixteen bytes a step by table lookup ("slicing-by-16", Kounavis & Berry 2008), about 2.4 GB/s.
"""

from __future__ import annotations

import platform

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78  # reflected
_STEP = 16
_WORTH_THIRDS = 1024  # words


def _tables() -> NDArray[np.uint32]:
    """`tables[k, b]`: the CRC of byte b followed by k zero bytes, without the final inversion."""
    tables = np.zeros((_STEP, 256), np.uint32)
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        tables[0, byte] = value
    for k in range(1, _STEP):
        tables[k] = (tables[k - 1] >> 8) ^ tables[0][tables[k - 1] & 0xFF]
    return tables


_TABLES = _tables()


def crc32c(data: NDArray[np.uint8], value: int = 0) -> int:
    """Return the CRC-32C of bytes.

    Parameters
    ----------
    data : ndarray of uint8, shape (n,)
        The bytes, contiguous.
    value : int
        The CRC of the bytes before these; 0 at the start.

    Returns
    -------
    int
        The CRC of all bytes so far, 0 to 2³² − 1.

    Examples
    --------
    >>> hex(crc32c(np.frombuffer(b"123456789", np.uint8)))
    '0xe3069283'
    """
    return int((_by_instruction if HAS_INSTRUCTION else _by_table)(data, np.uint32(value)))


def _has_instruction() -> bool:
    known = platform.machine() in ("x86_64", "AMD64")
    return known and llvmlite.binding.get_host_cpu_features().get("sse4.2", False)


HAS_INSTRUCTION = _has_instruction()


@intrinsic
def _step(typingctx, crc, word):  # type: ignore[no-untyped-def]
    """Carry a CRC over eight bytes."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        word64 = ir.IntType(64)
        kind = ir.FunctionType(word64, [word64, word64])
        name = "llvm.x86.sse42.crc32.64.64"
        return builder.call(builder.module.declare_intrinsic(name, (), kind), args)

    return types.uint64(types.uint64, types.uint64), generate


@njit("uint32(uint32, uint32)", cache=True, nogil=True)
def _product(a: np.uint32, b: np.uint32) -> np.uint32:
    """Multiply polynomials over GF(2), bits reflected, modulo that of CRC-32C."""
    product = np.uint32(0)
    for bit in range(31, -1, -1):
        if (a >> np.uint32(bit)) & np.uint32(1):
            product ^= b
        low = b & np.uint32(1)
        b >>= np.uint32(1)
        if low:
            b ^= np.uint32(_POLYNOMIAL)
    return product


@njit("uint32(uint32, uint32, int64)", cache=True, nogil=True)
def _joined(first: np.uint32, second: np.uint32, size: int) -> np.uint32:
    """Return the CRC of bytes from that of their first part, and that of the rest of `size` bytes.

    The first one times x to the 8 · size, plus the second (as zlib's crc32_combine).
    """
    power = np.uint32(1 << 23)  # x ** 8
    while size:
        if size & 1:
            first = _product(power, first)
        power = _product(power, power)
        size >>= 1
    return first ^ second


@njit("uint32(Array(uint8, 1, 'C', readonly=True), uint32)", cache=True, nogil=True)
def _by_instruction(data: NDArray[np.uint8], value: np.uint32) -> np.uint32:
    words = data[: data.size - data.size % 8].view(np.uint64)
    # The instruction takes three cycles but one can begin in each: three thirds run side by side.
    third = words.size // 3 if words.size >= _WORTH_THIRDS else 0
    ones = np.uint64(0xFFFFFFFF)
    a, b, c = np.uint64(value) ^ ones, ones, ones
    for i in range(third):
        a = _step(a, words[i])
        b = _step(b, words[third + i])
        c = _step(c, words[2 * third + i])
    if third:
        joined = _joined(np.uint32(a ^ ones), np.uint32(b ^ ones), 8 * third)
        a = np.uint64(_joined(joined, np.uint32(c ^ ones), 8 * third)) ^ ones
    for word in words[3 * third :]:
        a = _step(a, word)
    crc = np.uint32(a)
    for i in range(8 * words.size, data.size):
        crc = _TABLES[0, data[i] ^ (crc & np.uint32(0xFF))] ^ (crc >> np.uint32(8))
    return np.uint32(~crc)


@njit("uint32(Array(uint8, 1, 'C', readonly=True), uint32)", cache=True, nogil=True)
def _by_table(data: NDArray[np.uint8], value: np.uint32) -> np.uint32:
    t = _TABLES
    crc = np.uint32(~value)
    whole = data.size - data.size % 16
    for i in range(0, whole, 16):
        # The running CRC enters with the first four bytes; the other twelve are looked up as is.
        crc = (
            t[15, data[i] ^ (crc & np.uint32(0xFF))]
            ^ t[14, data[i + 1] ^ ((crc >> np.uint32(8)) & np.uint32(0xFF))]
            ^ t[13, data[i + 2] ^ ((crc >> np.uint32(16)) & np.uint32(0xFF))]
            ^ t[12, data[i + 3] ^ (crc >> np.uint32(24))]
            ^ t[11, data[i + 4]]
            ^ t[10, data[i + 5]]
            ^ t[9, data[i + 6]]
            ^ t[8, data[i + 7]]
            ^ t[7, data[i + 8]]
            ^ t[6, data[i + 9]]
            ^ t[5, data[i + 10]]
            ^ t[4, data[i + 11]]
            ^ t[3, data[i + 12]]
            ^ t[2, data[i + 13]]
            ^ t[1, data[i + 14]]
            ^ t[0, data[i + 15]]
        )
    for i in range(whole, data.size):
        crc = t[0, data[i] ^ (crc & np.uint32(0xFF))] ^ (crc >> np.uint32(8))
    return np.uint32(~crc)
