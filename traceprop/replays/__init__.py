"""Running a recorded pipeline again, whole or as if some rows had never been in its sources."""

from __future__ import annotations

from traceprop.replays.replay import replay

__all__ = ["replay"]
