"""How a text file's bytes are characters: its codec, the width of its units, its byte-order mark.

Lines and fields are found among *units*: the bytes of an encoding that extends ASCII, and the 16 or
32 bits of UTF-16 and UTF-32, which are narrowed to one byte each for that: an ASCII character stays
itself, any other becomes 0x80. So a byte offset is a unit's number times the width of a unit, and
refers to the file's own text.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError

_BOMS = {  # UTF-32's before UTF-16's, which they begin with
    codecs.BOM_UTF8: ("utf-8", 1),
    codecs.BOM_UTF32_LE: ("utf-32-le", 4),
    codecs.BOM_UTF32_BE: ("utf-32-be", 4),
    codecs.BOM_UTF16_LE: ("utf-16-le", 2),
    codecs.BOM_UTF16_BE: ("utf-16-be", 2),
}
_WIDE = {"utf-16": 2, "utf-16-le": 2, "utf-16-be": 2, "utf-32": 4, "utf-32-le": 4, "utf-32-be": 4}
_OTHER = 0x80  # what a character beyond ASCII is narrowed to


@dataclass(frozen=True, slots=True)
class TextEncoding:
    """How the bytes of one file are characters.

    Attributes
    ----------
    codec : str
        Python's name, with the byte order where that matters.
    width : int
        Bytes of a unit: 1, 2 or 4.
    begin : int
        Units of the byte-order mark before the text: 0 or 1, and 3 for UTF-8.
    """

    codec: str
    width: int
    begin: int

    def units(self, content: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return one byte for each unit of a stretch of text; the stretch itself for width 1."""
        if self.width == 1:
            return content
        order = ">" if self.codec.endswith("be") else "<"
        wide = content.view(f"{order}u{self.width}")
        return np.where(wide < _OTHER, wide, _OTHER).astype(np.uint8)

    def utf8(self, content: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return a stretch of text as UTF-8, itself if it is; UnicodeDecodeError where it isn't."""
        if self.codec == "utf-8":
            return content
        return np.frombuffer(bytearray(content.tobytes().decode(self.codec).encode()), np.uint8)


def detect_encoding(head: bytes, declared: str, name: str) -> TextEncoding:
    """Find out how a file is encoded.

    Parameters
    ----------
    head : bytes
        Its first four bytes, or all of fewer.
    declared : str
        What the user said, by Python's name. UTF-16 and UTF-32 without a mark are little-endian.
    name : str
        How messages call the file.

    Raises
    ------
    SourceError
        Where a byte-order mark contradicts `declared`.
    """
    narrowed = _WIDE.get(declared, 1)
    known = [
        mark
        for mark, (_, width) in _BOMS.items()
        if head.startswith(mark) and (width, narrowed) != (4, 2)  # UTF-16 may begin with a NUL
    ]
    if not known:
        codec = f"{declared}-le" if declared in ("utf-16", "utf-32") else declared
        return TextEncoding(codec, narrowed, 0)
    marked, width = _BOMS[known[0]]
    if width == narrowed == 1:
        return TextEncoding(declared, 1, len(known[0]))
    family = marked[:6]
    if declared not in (marked, family):
        raise SourceError(
            f"{name} is {family.upper()} text, as its first bytes say, not {declared}; say "
            f"encoding={family!r}"
        )
    return TextEncoding(marked, width, 1)


def is_wide(encoding: str) -> bool:
    """Whether an encoding's units are wider than a byte."""
    return encoding in _WIDE
