"""Evidence about a removal that others can check: certificate, signature, regulations.

The names below are imported when first used: checking a certificate needs neither torch nor NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceprop.lazy import lazy_names

if TYPE_CHECKING:
    from traceprop.compliance.inclusion import check_proof as check_proof
    from traceprop.compliance.inclusion import prove_row as prove_row
    from traceprop.compliance.policy import KeyRing as KeyRing
    from traceprop.compliance.policy import load_policy as load_policy
    from traceprop.compliance.replay import Replay as Replay
    from traceprop.compliance.report import Report as Report
    from traceprop.compliance.report import export_compliance as export_compliance
    from traceprop.compliance.timestamp import request_timestamp as request_timestamp
    from traceprop.compliance.verify import Verdict as Verdict
    from traceprop.compliance.verify import verify_bytes as verify_bytes

# `verify` itself is the module of that name: its function is traceprop.compliance.verify.verify.
_HOMES = {
    "KeyRing": "traceprop.compliance.policy",
    "Report": "traceprop.compliance.report",
    "Verdict": "traceprop.compliance.verify",
    "check_proof": "traceprop.compliance.inclusion",
    "export_compliance": "traceprop.compliance.report",
    "load_policy": "traceprop.compliance.policy",
    "prove_row": "traceprop.compliance.inclusion",
    "request_timestamp": "traceprop.compliance.timestamp",
    "verify_bytes": "traceprop.compliance.verify",
}

__all__ = sorted(_HOMES)

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
