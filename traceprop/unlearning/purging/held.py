"""A removal that a legal hold stands against: what was asked for, and why it wasn't done.

Promise: it is in the store's audit log before anybody is told.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from traceprop.attribution.store.erasure.holds import check_reason, holds_now
from traceprop.audit.recording import record as write_down
from traceprop.curvature.digest import model_digest
from traceprop.errors import LegalHoldError, UnlearnError
from traceprop.files import PRIVATE_FILE, write_file

if TYPE_CHECKING:
    from traceprop.attribution.store.erasure.forget import ForgetSet


@dataclass(frozen=True, slots=True)
class HeldRemoval:
    """A removal that wasn't done.

    Parameters
    ----------
    holds : tuple of str
        The holds that stand against it.
    n_samples, n_rows : int
        How many samples, and how many source rows named them.
    samples_sha256 : str
        Which samples, as a digest.
    requester, approver : str or None
        Who asked for it, and who had approved it.
    time : str
        When it was refused, in UTC by this machine's clock.
    """

    holds: tuple[str, ...]
    n_samples: int
    n_rows: int
    samples_sha256: str
    requester: str | None
    approver: str | None
    time: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return {**asdict(self), "holds": list(self.holds)}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the record as JSON, readable by its owner alone.

        Raises
        ------
        UnlearnError
            The file can't be written.
        """
        content = json.dumps(self.to_dict(), indent=1, ensure_ascii=False).encode() + b"\n"
        try:
            write_file(Path(path), content, mode=PRIVATE_FILE)
        except OSError as refused:
            raise UnlearnError(
                f"the record can't be written to {path} ({refused.strerror}); name a file in a "
                f"folder that is there and writable"
            ) from refused


def refuse_held_removal(
    forget_set: ForgetSet,
    legal_hold: str | None,
    *,
    erases: bool,
    requester: str | None,
    approver: str | None,
) -> None:
    """Raise `LegalHoldError` where a hold stands against a removal, once that is in the log.

    Parameters
    ----------
    forget_set : ForgetSet
    legal_hold : str or None
        The hold that was given for this removal.
    erases : bool
        Whether the removal would erase: the store's own holds stand against that alone.
    requester, approver : str or None
    """
    store = forget_set.store
    holds = (*([] if legal_hold is None else [check_reason(legal_hold)]),
             *(holds_now(store) if erases else ()))  # fmt: skip
    if not holds:
        return
    samples = np.unique(np.asarray(forget_set.samples, np.int64))
    record = HeldRemoval(
        holds,
        len(samples),
        sum(len(rows) for rows in forget_set.rows.values()),
        model_digest({"samples": samples}),
        requester,
        approver,
        datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    facts = {name: value for name, value in record.to_dict().items() if name != "time"}
    write_down(store.path, "hold", {"state": "refused", **facts})
    raise LegalHoldError(
        f"a legal hold stands against this removal ({'; '.join(holds)}), so nothing was trained or "
        f"erased; the audit log has the refusal. Ask again once the hold is lifted",
        record,
    )
