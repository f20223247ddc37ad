"""Running a recorded pipeline again: whole, as if some rows had never been there, on new rows."""

from __future__ import annotations

from traceprop.replays.differences import Difference, diff
from traceprop.replays.pipeline.applying import apply
from traceprop.replays.pipeline.pipeline import Pipeline
from traceprop.replays.pipeline.saved import load_pipeline, save_pipeline
from traceprop.replays.replaying import replay

__all__ = ["Difference", "Pipeline", "apply", "diff", "load_pipeline", "replay", "save_pipeline"]
