"""Putting a timestamp's certificates in the order that DER asks for.

Many authorities send them in chain order, which strict readers refuse. The set is outside what the
authority signs, so its order proves nothing and may be changed. Promise: nothing else changes, and
what is no timestamp comes back as it is, for the real reader to refuse.
"""

from __future__ import annotations

_SEQUENCE, _CERTIFICATES = 0x30, 0xA0


def sort_certificates(answer: bytes) -> bytes:
    """Return a `TimeStampResp` (RFC 3161) with its token's certificates in DER's order.

    Parameters
    ----------
    answer : bytes
        An authority's answer.
    """
    try:
        # TimeStampResp: status, token. ContentInfo: type, [0] content. SignedData: its fields.
        status, token = _parts(answer, _SEQUENCE)
        kind, content = _parts(token, _SEQUENCE)
        (signed,) = _parts(content, 0xA0)
        fields = [
            # DER sorts a set by its members' bytes (X.690, 11.6).
            _join(_CERTIFICATES, sorted(_parts(field, _CERTIFICATES)))
            if field[0] == _CERTIFICATES
            else field
            for field in _parts(signed, _SEQUENCE)
        ]
    except ValueError:
        return answer
    signed = _join(_SEQUENCE, fields)
    token = _join(_SEQUENCE, [kind, _join(0xA0, [signed])])
    return _join(_SEQUENCE, [status, token])


def _parts(element: bytes, tag: int) -> list[bytes]:
    """Split a constructed element of this tag, which must fill its bytes, into its parts."""
    start, end = _content(element, 0)
    if element[0] != tag or end != len(element):
        raise ValueError("another element than expected")
    parts = []
    while start < end:
        _, next_start = _content(element, start)
        parts.append(element[start:next_start])
        start = next_start
    return parts


def _content(data: bytes, at: int) -> tuple[int, int]:
    """Return where the content of the element at a place begins and ends."""
    header = data[at : at + 2]
    if len(header) < 2 or header[0] & 0x1F == 0x1F:
        raise ValueError("no element of a short tag")
    start, length = at + 2, header[1]
    if length >= 0x80:
        width = length - 0x80
        if not 1 <= width <= 4:
            raise ValueError("no length of DER that fits a timestamp")
        length = int.from_bytes(data[start : start + width], "big")
        start += width
    if start + length > len(data):
        raise ValueError("cut off")
    return start, start + length


def _join(tag: int, parts: list[bytes]) -> bytes:
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    width = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 + width]) + length.to_bytes(width, "big") + content
