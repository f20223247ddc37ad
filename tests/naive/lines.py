"""Plain-Python twin of `numba_kernels.lines`: the states of Python's csv reader, byte by byte."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

LF, CR, SPACE = 0x0A, 0x0D, 0x20


class UnclosedQuoteError(ValueError):
    """A quoted field that never ends; `offset` and `line` say where it opened."""

    def __init__(self, offset: int, line: int) -> None:
        super().__init__(f"quote at byte {offset}, line {line} never closes")
        self.offset, self.line = offset, line


@dataclass
class Record:
    start: int
    line: int
    fields: list[bytes]
    end: int  # after its line end
    stop: int  # before its line end


class _State(Enum):
    START_RECORD = auto()
    START_FIELD = auto()
    IN_FIELD = auto()
    IN_QUOTED = auto()
    QUOTE_IN_QUOTED = auto()


def records(
    data: bytes,
    delimiter: int = 0x2C,
    quote: int = 0x22,
    skip_space: bool = False,
    comment: int = 0,
) -> list[Record]:
    """Every record with its offset, its physical line and its fields.

    Blank lines are none, nor are lines that begin with `comment`.

    With `skip_space`, spaces where a field begins are skipped; where the delimiter is itself a
    space, those at the end of a line separate nothing.
    """
    found: list[Record] = []
    state = _State.START_RECORD
    start = start_line = opened = opened_line = 0
    line = 1
    fields: list[bytes] = []
    field = bytearray()
    trailing = skip_space and delimiter == SPACE
    blank = True  # nothing but skipped spaces so far in this record
    i = 0
    while i < len(data):
        byte = data[i]
        width = 2 if data[i : i + 2] == b"\r\n" else 1
        if state is _State.QUOTE_IN_QUOTED and byte == quote:
            field.append(quote)
            state = _State.IN_QUOTED
            i += 1
            continue
        if state is _State.IN_QUOTED:
            if byte == quote:
                state = _State.QUOTE_IN_QUOTED
            else:
                field += data[i : i + width] if byte == CR else bytes([byte])
                line += byte in (LF, CR)
                i += width - 1 if byte == CR else 0
            i += 1
            continue
        if state is _State.START_RECORD:
            start, start_line, blank = i, line, True
            fields, field = [], bytearray()
            state = _State.START_FIELD
        if byte in (LF, CR):
            i += width
            line += 1
            if not blank:
                if state is not _State.START_FIELD or not trailing:
                    fields.append(bytes(field))
                found.append(Record(start, start_line, fields, i, i - width))
            state = _State.START_RECORD
            continue
        if state is _State.START_FIELD and skip_space and byte == SPACE:
            i += 1
            continue
        if blank and comment and byte == comment:
            while i < len(data) and data[i] not in (LF, CR):
                i += 1
            continue
        blank = False
        if byte == delimiter:
            fields.append(bytes(field))
            field = bytearray()
            state = _State.START_FIELD
        elif state is _State.START_FIELD and byte == quote:
            state = _State.IN_QUOTED
            opened, opened_line = i, line
        else:
            field.append(byte)
            state = _State.IN_FIELD
        i += 1
    if state is _State.IN_QUOTED:
        raise UnclosedQuoteError(opened, opened_line)
    if state is not _State.START_RECORD and not blank:
        if state is not _State.START_FIELD or not trailing:
            fields.append(bytes(field))
        found.append(Record(start, start_line, fields, len(data), len(data)))
    return found
