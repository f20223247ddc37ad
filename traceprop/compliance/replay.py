"""Running a certificate's removal again, from the store's record, and comparing the models.

Promises: the same samples by the certificate's key (or the rows that the reader gives), the same
method and its settings; the store and its log are not changed. The comparison is to the bit, or,
where the new weights are given, within a tolerance that the answer states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from traceprop.audit import merkle
from traceprop.audit.commitments import row_message, sample_message
from traceprop.audit.folder import key_path, load_key
from traceprop.compliance.evidence import public_uri
from traceprop.errors import CertificateError

if TYPE_CHECKING:
    from torch import nn

    from traceprop.attribution.store.erasure.forget import ForgetSet
    from traceprop.attribution.store.gradient_store import GradientStore
    from traceprop.lineage.source import Source

_ROUNDING = 1e-4
"""Where no bound is known: how far two runs may differ, as a part of how far the weights moved."""


@dataclass(frozen=True, slots=True)
class Replay:
    """How to run a removal again.

    Parameters
    ----------
    rows : mapping of str to iterable of int, optional
        The removed rows by source; needed where the certificate's key is gone.
    factory : callable, optional
        Returns an untrained model; needed where the store has no description of it.
    """

    rows: Mapping[str, Iterable[int]] | None = None
    factory: Callable[[], nn.Module] | None = None


def replay_removal(
    statement: dict[str, Any],
    store: GradientStore,
    how: Replay,
    weights: Mapping[str, Any] | None,
) -> str:
    """Run a removal again, and return how well the result agrees.

    Parameters
    ----------
    statement : dict
        The content of a verified certificate.
    store : GradientStore
        The store that it is about.
    how : Replay
        Rows and model, where they aren't in the store.
    weights : mapping of str to array, optional
        The weights after the removal, known to have the certificate's digest.

    Raises
    ------
    CertificateError
        The removal gives another model, or other samples: the certificate doesn't hold.
    UncheckedError
        It can't be run again, or not be compared.
    """
    from traceprop.attribution.model_files import restore_model
    from traceprop.curvature.digest import model_digest
    from traceprop.unlearning.removal import remove_samples

    predicate = statement["predicate"]
    removal = predicate["removal"]
    if removal["data"]["origin"] != "store":
        raise UncheckedError(
            "the removal was computed from data that the store doesn't hold, so it can't be run "
            "again from it"
        )
    if predicate["purge"]["proof"] is not None:
        raise UncheckedError(
            "the rows were purged from the store, so the removal can't be run again from it; "
            "nobody can, without another copy of the store as it was"
        )
    if removal["method"] in ("exact", "certified"):
        needs = "the recipe" if removal["method"] == "exact" else "its secret noise"
        raise UncheckedError(f"a removal by {removal['method']!r} can't be run without {needs}")
    replayed = removal.get("replayed") is not None
    forget_set = _given(predicate, store, how.rows) if how.rows else _sealed(predicate, store)
    settings = removal.get("figures", {}) if removal["method"] == "ascent" else {}
    again = remove_samples(
        restore_model(store, how.factory),
        forget_set,
        method=removal["method"],
        eta=settings.get("eta"),
        steps=settings.get("steps"),
        replay=replayed,
    )
    if model_digest(again) == predicate["models"]["after"]["sha256"]:
        return "the removal, run again, gives that model to the bit"
    if weights is None:
        raise UncheckedError(
            "the removal, run again, gives other bits, as other versions or processors may: give "
            "the weights after the removal, to compare them within the tolerance"
        )
    return _compare(again, weights, removal)


class UncheckedError(CertificateError):
    """A certificate couldn't be held against something; that says nothing against it."""


def _compare(again: nn.Module, weights: Mapping[str, Any], removal: dict[str, Any]) -> str:
    from traceprop.unlearning import record

    done = record(again)
    if done.bound is not None and removal["bound"] is not None:
        # Each is that close to the retrained weights, so they are at most the sum apart.
        tolerance, rests_on = done.bound + removal["bound"], "the sum of both bounds"
    else:
        moved = float(removal.get("figures", {}).get("moved") or 0.0)
        tolerance, rests_on = _ROUNDING * moved, f"{_ROUNDING:g} of the way that it moved"
    parts = [
        np.asarray(value.detach().cpu(), np.float64) - np.asarray(weights[name], np.float64)
        for name, value in again.state_dict().items()
    ]
    distance = float(np.sqrt(sum(float((part**2).sum()) for part in parts)))
    said = f"weights {distance:.3g} apart, and {tolerance:.3g} may be ({rests_on})"
    if not distance <= tolerance:
        raise CertificateError(f"the removal, run again, gives another model: {said}")
    return f"the removal, run again, gives that model within its tolerance: {said}"


def _sealed(predicate: dict[str, Any], store: GradientStore) -> ForgetSet:
    """Find the removed samples by trying the store's samples with the certificate's key."""
    from traceprop.attribution.store.erasure.forget import ForgetSet
    from traceprop.lineage.answers.query import SourceMap
    from traceprop.lineage.rowset import RowSet

    serial = predicate["serial"]
    try:
        secret = load_key(key_path(store.path, serial), serial)
    except CertificateError as gone:
        raise UncheckedError(f"{gone} Or give the rows that were removed.") from gone
    leaves = {bytes.fromhex(leaf) for leaf in predicate["forget_set"]["tree"]["leaves"]}

    def is_named(message: bytes) -> bool:
        return merkle.seal(merkle.salt_of(secret, message), message) in leaves

    samples = [n for n in store.sample_ids.tolist() if is_named(sample_message(n))]
    rows: dict[Source, set[int]] = {}
    for sample in samples if store.sources else ():
        for source, named in store.get_provenance(sample).rows.items():
            found = {
                int(row)
                for row in named
                if is_named(row_message(public_uri(source.uri), source.sha256, int(row)))
            }
            rows[source] = rows.get(source, set()) | found
    _check_counts(predicate, len(samples), sum(map(len, rows.values())))
    named_rows = SourceMap({source: RowSet(sorted(found)) for source, found in rows.items()})
    return ForgetSet(np.array(sorted(samples), np.int64), named_rows, store)


def _given(
    predicate: dict[str, Any], store: GradientStore, rows: Mapping[str, Iterable[int]]
) -> ForgetSet:
    parts = [store.samples_from_source(source, list(named)) for source, named in rows.items()]
    joined = parts[0]
    for part in parts[1:]:
        joined = joined | part
    _check_counts(predicate, len(joined), sum(len(named) for named in joined.rows.values()))
    return joined


def _check_counts(predicate: dict[str, Any], n_samples: int, n_rows: int) -> None:
    said = predicate["forget_set"]
    if (n_samples, n_rows) != (said["n_samples"], said["n_rows"]):
        raise CertificateError(
            f"the store has {n_samples} samples and {n_rows} rows of those removed, the "
            f"certificate {said['n_samples']} and {said['n_rows']}: another store's, or other rows"
        )
