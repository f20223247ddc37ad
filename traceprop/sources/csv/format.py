"""How a CSV file is to be read: delimiter, header, types, missing-value markers, encoding.

`CsvOptions` are what a user may say; a `CsvFormat` is made of them. It is checked when it is made,
can be saved, and is all that is needed besides the file to read it the same way again.
"""

from __future__ import annotations

import codecs
import operator
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from traceprop.errors import SourceError
from traceprop.sources.csv.encoding import is_wide
from traceprop.sources.identity.row_index import Grammar

QUOTE = '"'

_DATES = tuple(f"datetime64[{unit}]" for unit in ("D", "s", "ms", "us", "ns"))

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


class CsvOptions(TypedDict, total=False):
    """What `load_csv` and `read_csv` may be told of a file; see there."""

    delimiter: str
    header: bool
    missing: str | Sequence[str] | None
    dtypes: Mapping[str | int, npt.DTypeLike] | None
    encoding: str
    skip_rows: int
    comment: str | None


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
        Python's name of an encoding that extends ASCII, or of UTF-16 or UTF-32.
    skip_rows : int
        Lines at the top that are passed over unread, whatever they hold.
    comment : str
        The character with which lines begin that are passed over; empty for none.
    dtypes : tuple of (str or int, str)
        Columns, by name or position, whose type is declared, and its name as `type_name` gives it.
    """

    delimiter: str = ","
    header: bool = True
    missing: tuple[str, ...] = MISSING
    encoding: str = "utf-8"
    skip_rows: int = 0
    comment: str = ""
    dtypes: tuple[tuple[str | int, str], ...] = ()

    def __post_init__(self) -> None:
        character, rest = self.delimiter[:1], self.delimiter[1:]
        if not _is_mark(character) or rest not in ("", " ") or self.delimiter == "  ":
            raise SourceError(
                f"delimiter {self.delimiter!r} can't be used: give one ASCII character, such as "
                "',' or ';', or one with a space after it, such as ', '"
            )
        if self.comment and (not _is_mark(self.comment) or self.comment in (character, " ")):
            raise SourceError(
                f"comment {self.comment!r} can't be used: give one ASCII character that is not the "
                "delimiter, such as '#'"
            )
        if self.skip_rows < 0:
            raise SourceError(f"skip_rows={self.skip_rows} can't be: give 0 or more lines")
        try:
            name = codecs.lookup(self.encoding).name
        except LookupError:
            raise SourceError(
                f"encoding {self.encoding!r} is not known; give a name such as 'utf-8', 'latin-1' "
                "or 'cp1252'"
            ) from None
        if not is_wide(name) and not _extends_ascii(name, (character, QUOTE, self.comment)):
            raise SourceError(
                f"encoding {self.encoding!r} does not extend ASCII, so its lines can't be found "
                "among its bytes; save the file as UTF-8"
            )
        object.__setattr__(self, "encoding", "utf-8" if name == "utf-8-sig" else name)

    @classmethod
    def make(cls, **options: Unpack[CsvOptions]) -> CsvFormat:
        """Make the format that a user's options describe; an empty cell is always missing."""
        unknown = [name for name in options if name not in CsvOptions.__annotations__]
        if unknown:
            raise TypeError(
                f"there is no option {unknown[0]!r} of CSV files; there are columns, batch_rows, "
                f"filesystem, {', '.join(CsvOptions.__annotations__)}"
            )
        _check_kinds(options)
        missing = options.get("missing")
        if missing is not None:
            markers = (missing,) if isinstance(missing, str) else tuple(missing)
            missing = ("", *(marker for marker in markers if marker))
        return cls(
            options.get("delimiter", ","),
            options.get("header", True),
            MISSING if missing is None else missing,
            options.get("encoding", "utf-8"),
            operator.index(options.get("skip_rows", 0)),
            options.get("comment") or "",
            tuple(
                (column if isinstance(column, str) else operator.index(column), type_name(dtype))
                for column, dtype in (options.get("dtypes") or {}).items()
            ),
        )

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
        comment = ord(self.comment) if self.comment else 0
        return Grammar(ord(self.separator), ord(QUOTE), self.skip_space, comment)

    def to_json(self) -> dict[str, Any]:
        """Return the format as plain JSON types; `from_json` gives it back."""
        return {
            "delimiter": self.delimiter,
            "header": self.header,
            "missing": list(self.missing),
            "encoding": self.encoding,
            "skip_rows": self.skip_rows,
            "comment": self.comment,
            "dtypes": [[column, name] for column, name in self.dtypes],
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> CsvFormat:
        """Return the format that `to_json` saved."""
        return cls(
            str(saved["delimiter"]),
            bool(saved["header"]),
            tuple(str(marker) for marker in saved["missing"]),
            str(saved["encoding"]),
            int(saved["skip_rows"]),
            str(saved["comment"]),
            tuple((column, type_name(name)) for column, name in saved["dtypes"]),
        )


_KINDS: Mapping[str, tuple[Any, str]] = {
    "delimiter": (str, "text"),
    "encoding": (str, "the name of an encoding"),
    "comment": (str | None, "text"),
    "skip_rows": (SupportsIndex, "a whole number of lines"),
    "dtypes": (Mapping | None, "a dict from columns to types"),
    "missing": (Collection | None, "a text or a list of texts"),
}


def _check_kinds(options: Mapping[str, Any]) -> None:
    """Refuse options that aren't what they must be, whatever they say."""
    for name, (kind, wanted) in _KINDS.items():
        if name not in options:
            continue
        value = options[name]
        fits = isinstance(value, kind)
        if fits and name == "missing" and value is not None:
            fits = all(isinstance(marker, str) for marker in value)
        if not fits:
            raise SourceError(f"{name}={value!r} can't be: give {wanted}")


def type_name(dtype: npt.DTypeLike) -> str:
    """Return the name of a declared type, such as ``"str"``, ``"float32"``, ``"datetime64[s]"``.

    Raises
    ------
    SourceError
        Where CSV text isn't read as such a type.
    """
    if dtype in (str, "str", "category"):
        return "str"
    try:
        known = np.dtype(dtype)
    except TypeError:
        known = np.dtype(object)
    if known.kind == "U":
        return "str"
    fits = known.kind in "biu" or known.name in ("float32", "float64", *_DATES)
    if not fits:
        raise SourceError(
            f"dtypes= can't be {dtype!r}: give str, bool, a type of int, float32, float64 or "
            f"{', '.join(_DATES)}"
        )
    return known.name


def _is_mark(character: str) -> bool:
    """Whether a character may separate values or begin comments."""
    return (
        len(character) == 1 and character.isascii() and character not in ("\0", "\n", "\r", QUOTE)
    )


def _extends_ascii(encoding: str, marks: tuple[str, ...]) -> bool:
    """Whether ASCII bytes mean themselves and no mark can be the tail of a longer character."""
    if encoding.startswith("iso2022"):  # escape sequences give ASCII bytes another meaning
        return False
    plain = bytes(range(1, 128))
    if not _decodes_to(plain, encoding, plain.decode("ascii")):
        return False
    tails = (
        bytes([lead]) + mark.encode("ascii") for lead in range(128, 256) for mark in marks if mark
    )
    return not any(_decodes_to(pair, encoding, None) for pair in tails)


def _decodes_to(data: bytes, encoding: str, expected: str | None) -> bool:
    """Whether `data` decodes to `expected`; to any one character where that is None."""
    try:
        text = data.decode(encoding)
    except (UnicodeDecodeError, LookupError):  # LookupError: a codec that yields no text
        return False
    return len(text) == 1 if expected is None else text == expected
