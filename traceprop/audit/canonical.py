"""One byte form for each JSON value: RFC 8785 out, strict parsing in.

Promise: `parse(canonical(value))` gives `canonical` the same bytes again, and `parse` refuses what
JSON leaves open: duplicate keys, NaN, bytes that are not UTF-8.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import rfc8785

# RFC 8785 numbers are IEEE doubles: integers are exact up to here.
_LARGEST_INTEGER = 2**53 - 1


def canonical(value: Any) -> bytes:
    """Return the RFC 8785 bytes of a JSON value.

    Raises
    ------
    ValueError
        The value holds something that JSON can't: see `jsonable`.
    """
    if type(value) is str and value.isascii() and value.isprintable():
        return json.dumps(value).encode()  # the same bytes, several times as fast
    return rfc8785.dumps(value)


def parse(data: bytes) -> Any:
    """Parse JSON strictly.

    Raises
    ------
    ValueError
        Not UTF-8, not JSON, a key given twice, NaN or an infinity, or nested too deep to read.
    """
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_no_duplicates,
            parse_int=_integer,
            parse_constant=_no_constant,
        )
    except RecursionError as too_deep:
        raise ValueError("nested too deep") from too_deep


def jsonable(value: Any) -> Any:
    """Turn a record into plain JSON values that RFC 8785 can write.

    NumPy scalars and arrays, tuples, paths and mappings become their JSON kin. What a JSON number
    can't hold becomes a string, never a silent change: integers past 2^53 as decimals, and the
    non-finite floats as `"NaN"`, `"Infinity"` and `"-Infinity"` (protocol buffers write the same).
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _LARGEST_INTEGER else str(value)
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    # NumPy scalars and arrays; found by their method, since checking must not import NumPy.
    if hasattr(value, "tolist"):
        return jsonable(value.tolist())
    if isinstance(value, Iterable):
        return [jsonable(item) for item in value]
    return str(value)


def _finite(value: float) -> float | str:
    if math.isfinite(value):
        return float(value)
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found


def _integer(digits: str) -> int | float:
    # RFC 8785 writes the double 1e20 as an integer: read it as the double that it was.
    return (
        int(digits) if len(digits) < 16 or abs(int(digits)) <= _LARGEST_INTEGER else float(digits)
    )


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
