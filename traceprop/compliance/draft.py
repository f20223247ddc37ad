"""How an unsigned certificate looks as a file: plain to read, never mistaken for a signed one."""

from __future__ import annotations

import json
from typing import Any

DRAFT = "This is a draft. It is not signed, proves nothing, and must not be given out as evidence."

_START = b'{\n  "DRAFT": '


def draft_bytes(statement: dict[str, Any]) -> bytes:
    """Return a draft's file: indented JSON whose first words say what it is."""
    text = json.dumps({"DRAFT": DRAFT, "statement": statement}, indent=2, ensure_ascii=False)
    return text.encode() + b"\n"


def is_draft(data: bytes) -> bool:
    """Tell whether a file begins as a draft does."""
    return data.startswith(_START)
