"""Text that others wrote, made fit for a terminal.

Promise: control characters come out as their escapes, so that no file name, entry or server can
move a cursor, change colours or begin a line of its own.
"""

from __future__ import annotations


def one_line(text: str) -> str:
    r"""Return text with what is not printable escaped.

    Examples
    --------
    >>> one_line("a.csv\nvalid")
    'a.csv\\nvalid'
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )
