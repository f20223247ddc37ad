"""What NumPy can't do with machine words: read eight bytes anywhere, count bits, 128-bit products.

Each is one instruction of the machine, written down for numba. A word that is read from bytes has
the first byte lowest, so machines of the other byte order are refused.
"""

from __future__ import annotations

import sys
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

if sys.byteorder != "little":
    raise ImportError("text is read as little-endian words, which this machine doesn't have")

_I64, _I128 = ir.IntType(64), ir.IntType(128)


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(array.data, [arguments[1]])


@intrinsic
def load64(typing_context: Any, data: Any, offset: Any) -> Any:
    """Read the eight bytes at `data[offset:]`, wherever they begin, as one word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature, arguments)
        word = builder.load(builder.bitcast(pointer, _I64.as_pointer()))
        word.align = 1
        return word

    return types.uint64(data, types.intp), generate


@intrinsic
def trailing_zeros(typing_context: Any, word: Any) -> Any:
    """Count the zero bits below the lowest one of a word that isn't 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@intrinsic
def leading_zeros(typing_context: Any, word: Any) -> Any:
    """Count the zero bits above the highest one of a word that isn't 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@intrinsic
def high_product(typing_context: Any, left: Any, right: Any) -> Any:
    """Upper 64 of the 128 bits of the product of two words."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        left, right = (builder.zext(word, _I128) for word in arguments)
        product = builder.lshr(builder.mul(left, right), ir.Constant(_I128, 64))
        return builder.trunc(product, _I64)

    return types.uint64(types.uint64, types.uint64), generate


@intrinsic
def bits_of_float(typing_context: Any, value: Any) -> Any:
    """Return the bits of a float64 as a word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _I64)

    return types.uint64(types.float64), generate


@intrinsic
def float_of_bits(typing_context: Any, word: Any) -> Any:
    """Return the float64 that has the bits of a word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.uint64), generate
