"""How a CSV file is to be read: delimiter, header, missing-value markers, encoding.

A `CsvFormat` is checked when it is made, can be saved, and is all that is needed besides the file
to read it the same way again.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from traceprop.errors import SourceError
from traceprop.sources.row_index import Grammar

QUOTE = '"'

#: Cells that count as missing unless `missing=` says otherwise: those of pyarrow.
MISSING = (
    "",
    "#N/A",
    "#N/A N/A",
    "#NA",
    "-1.#IND",
    "-1.#QNAN",
    "-NaN",
    "-nan",
    "1.#IND",
    "1.#QNAN",
    "N/A",
    "NA",
    "NULL",
    "NaN",
    "n/a",
    "nan",
    "null",
)


@dataclass(frozen=True, slots=True)
class CsvFormat:
    """The rules by which a CSV file is read.

    Attributes
    ----------
    delimiter : str
        One ASCII character. One followed by a space (``", "``) means that spaces where a value
        begins don't belong to it. A space alone means any number of spaces; those at the ends of a
        line separate nothing.
    header : bool
        Whether the first row names the columns.
    missing : tuple of str
        Cells that mean a missing value.
    encoding : str
        Python's name of an encoding that extends ASCII.
    """

    delimiter: str = ","
    header: bool = True
    missing: tuple[str, ...] = MISSING
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        character, rest = self.delimiter[:1], self.delimiter[1:]
        usable = character.isascii() and character not in ("", "\0", "\n", "\r", QUOTE)
        if not usable or rest not in ("", " ") or self.delimiter == "  ":
            raise SourceError(
                f"delimiter {self.delimiter!r} can't be used: give one ASCII character, such as "
                "',' or ';', or one with a space after it, such as ', '"
            )
        try:
            name = codecs.lookup(self.encoding).name
        except LookupError:
            raise SourceError(
                f"encoding {self.encoding!r} is not known; give a name such as 'utf-8', 'latin-1' "
                "or 'cp1252'"
            ) from None
        if not _extends_ascii(name, (character, QUOTE)):
            raise SourceError(
                f"encoding {self.encoding!r} does not extend ASCII, so its lines can't be found "
                "among its bytes; save the file as UTF-8"
            )
        object.__setattr__(self, "encoding", "utf-8" if name == "utf-8-sig" else name)

    @classmethod
    def make(
        cls,
        delimiter: str,
        header: bool,
        missing: str | Sequence[str] | None,
        encoding: str,
    ) -> CsvFormat:
        """Make the format that `load_csv`'s arguments describe; an empty cell is always missing."""
        if missing is None:
            return cls(delimiter, header, MISSING, encoding)
        markers = (missing,) if isinstance(missing, str) else tuple(missing)
        return cls(delimiter, header, ("", *(m for m in markers if m)), encoding)

    @property
    def separator(self) -> str:
        """The delimiter's one character."""
        return self.delimiter[0]

    @property
    def skip_space(self) -> bool:
        """Whether spaces where a value begins don't belong to it."""
        return " " in self.delimiter

    @property
    def grammar(self) -> Grammar:
        """What the line scanner must know."""
        return Grammar(ord(self.separator), ord(QUOTE), self.skip_space)

    def to_json(self) -> dict[str, Any]:
        """Return the format as plain JSON types; `from_json` gives it back."""
        return {
            "delimiter": self.delimiter,
            "header": self.header,
            "missing": list(self.missing),
            "encoding": self.encoding,
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> CsvFormat:
        """Return the format that `to_json` saved."""
        return cls(
            str(saved["delimiter"]),
            bool(saved["header"]),
            tuple(str(marker) for marker in saved["missing"]),
            str(saved["encoding"]),
        )


def _extends_ascii(encoding: str, marks: tuple[str, ...]) -> bool:
    """Whether ASCII bytes mean themselves and no mark can be the tail of a longer character."""
    if encoding.startswith("iso2022"):  # escape sequences give ASCII bytes another meaning
        return False
    plain = bytes(range(1, 128))
    if not _decodes_to(plain, encoding, plain.decode("ascii")):
        return False
    tails = (bytes([lead]) + mark.encode("ascii") for lead in range(128, 256) for mark in marks)
    return not any(_decodes_to(pair, encoding, None) for pair in tails)


def _decodes_to(data: bytes, encoding: str, expected: str | None) -> bool:
    """Whether `data` decodes to `expected`; to any one character where that is None."""
    try:
        text = data.decode(encoding)
    except (UnicodeDecodeError, LookupError):  # LookupError: a codec that yields no text
        return False
    return len(text) == 1 if expected is None else text == expected
