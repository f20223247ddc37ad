"""What a certificate says, gathered from the models, the store and the record of the removal.

Promise: everything is read, nothing is assumed, and what does not fit together is refused: a model
without a record, other weights than the record names, another store, other rows.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import traceprop
from traceprop.attribution.estimators.problem import has_lost_samples
from traceprop.audit.canonical import jsonable
from traceprop.audit.commitments import row_message, sample_message
from traceprop.errors import CertificateError, UnlearnError

if TYPE_CHECKING:
    from torch import nn

    from traceprop.attribution.store.erasure.forget import ForgetSet
    from traceprop.attribution.store.gradient_store import GradientStore
    from traceprop.lineage.source import Source
    from traceprop.unlearning import RemovalRecord

_ENCODING = (
    "SHA-256 over the parameters and buffers sorted by name: for each a JSON line "
    "[name, dtype, shape] and its values as little-endian bytes"
)
_RERUN_NEEDS = [
    "the model before the removal, with the digest under models",
    "the sources, with their digests, or the gradient store's own copy of the training data as it "
    "was before any purge",
    "this certificate's key, which shows which rows and samples to leave out",
    "the recorded loss, penalty and preprocessing steps (training, preprocessing, lineage)",
    "the software of the versions listed; other versions, processors or numbers of threads give "
    "the same result within rounding only",
]
_NOT_PURGED = {
    "proof": None,
    "note": "No purge was made with this removal, so no proof of one is here: what the gradient "
    "store and other copies still hold is listed under left.",
}
_PACKAGES = ("numpy", "scipy", "numba", "pyarrow", "torch", "cryptography", "rfc8785")


@dataclass(frozen=True)
class Evidence:
    """The parts of a certificate that come from the removal itself.

    Parameters
    ----------
    parts : dict
        Fields of the predicate, by name.
    uris : dict of Source to str
        How the certificate names each source of a removed row.
    """

    parts: dict[str, Any]
    uris: dict[Source, str]


def gather(
    model_before: nn.Module, model_after: nn.Module, forget_set: ForgetSet, store: GradientStore
) -> Evidence:
    """Collect the evidence of one removal, and make sure that it belongs together.

    Raises
    ------
    CertificateError
        `model_after` has no record of a removal, or models, store and forget set are not the ones
        that its record names.
    """
    if not (hasattr(forget_set, "store") and hasattr(store, "lineage_digest")):
        raise CertificateError(
            f"The forget set is a {type(forget_set).__name__} and the store a "
            f"{type(store).__name__}: give what store.samples_from_source returned, and the "
            f"GradientStore itself."
        )
    done = _record_of(model_after)
    before, after = _check_models(model_before, model_after, done)
    _check_forget_set(forget_set, store, done)
    uris = {source: public_uri(source.uri) for source in store.sources}
    lineage = store.lineage_digest()
    removal = jsonable(done.to_dict())
    left, purge = removal.pop("left"), removal.pop("purge")
    for person in ("requester", "approver"):  # these stand under `responsible` alone
        del removal[person]
    parts = {
        "models": {
            "before": {"sha256": before},
            "after": {"sha256": after},
            "encoding": _ENCODING,
        },
        "forget_set": {
            "n_samples": len(forget_set),
            "n_rows": sum(len(rows) for rows in forget_set.rows.values()),
        },
        "sources": [_describe(source, uris[source], forget_set) for source in store.sources],
        "lineage": None if lineage is None else {"sha256": lineage},
        "preprocessing": {
            "steps": [str(step) for step in store.steps],
            "after_removal": done.preprocessing,
        },
        "training": _training(store, 0 if purge is None else purge["n_samples"]),
        "removal": removal,
        "left": left,
        "purge": _NOT_PURGED if purge is None else {"proof": purge, "note": _purged(purge)},
        "software": _software(),
        "rerun": {"needs": _RERUN_NEEDS, "seeds": _seeds(store)},
    }
    return Evidence(parts, uris)


def forget_messages(forget_set: ForgetSet, uris: dict[Any, str]) -> Iterator[bytes]:
    """Name every row and every sample of a forget set as they are sealed.

    Parameters
    ----------
    forget_set : ForgetSet
        What was removed.
    uris : dict of Source to str
        How the certificate names each source.
    """
    for source, rows in forget_set.rows.items():
        for row in rows:
            yield row_message(uris[source], source.sha256, int(row))
    for sample in forget_set.samples:
        yield sample_message(int(sample))


def public_uri(uri: str) -> str:
    """Return a source's uri as text, less what may be a secret: user, password and query."""
    # A file name may hold bytes that are no text; a certificate is text.
    uri = uri.encode("utf-8", "backslashreplace").decode()
    parts = urlsplit(uri)
    if not parts.scheme or not parts.netloc:
        return uri
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _record_of(model_after: nn.Module) -> RemovalRecord:
    from traceprop.unlearning import record

    try:
        return record(model_after)
    except UnlearnError as missing:
        raise CertificateError(
            "model_after carries no record of a removal: call approximate_unlearn first, and give "
            "the model that it returned, or load its record with RemovalRecord.load(path, model)."
        ) from missing


def _check_models(
    model_before: nn.Module, model_after: nn.Module, done: RemovalRecord
) -> tuple[str, str]:
    """Return both digests, once they are known to be those of the record."""
    from traceprop.attribution.models import state_of
    from traceprop.curvature.digest import model_digest

    before, after = (model_digest(state_of(model)) for model in (model_before, model_after))
    if before != done.digest_before:
        raise CertificateError(
            f"model_before ({before[:16]}…) is not the model that the rows were removed from "
            f"({done.digest_before[:16]}…): give the one that approximate_unlearn was called with."
        )
    if after != done.digest_after:
        raise CertificateError(
            f"model_after ({after[:16]}…) was changed after the removal, which gave "
            f"{done.digest_after[:16]}…: call approximate_unlearn again and certify its result."
        )
    return before, after


def _check_forget_set(forget_set: ForgetSet, store: GradientStore, done: RemovalRecord) -> None:
    if forget_set.store.path.resolve() != store.path.resolve():
        raise CertificateError(
            f"The forget set is from the store {forget_set.store.path}, not from {store.path}: "
            "give the store whose samples were removed."
        )
    if forget_set.samples.tolist() != list(done.samples):
        raise CertificateError(
            f"The forget set ({len(forget_set)} samples) is not what was removed from this model "
            f"({len(done.samples)} samples): give the forget set that approximate_unlearn was "
            "called with."
        )


def _describe(source: Source, uri: str, forget_set: ForgetSet) -> dict[str, Any]:
    return {
        "name": public_uri(source.name),
        "uri": uri,
        "kind": source.kind,
        "sha256": source.sha256,
        "columns": list(source.columns),
        "n_rows": source.n_rows,
        "n_rows_removed": len(forget_set.rows.get(source, ())),
    }


def _purged(proof: dict[str, Any]) -> str:
    """Say in a sentence what a purge's proof says."""
    scan = proof["scan"]
    found = len(scan["found_in_store"]) + len(scan["found_in_files"])
    did = {
        what: sum(file["done"] == what for file in proof["files"])
        for what in ("deleted", "rewritten", "kept", "missing")
    }
    named = ", ".join(f"{count} {what}" for what, count in did.items() if count)
    return (
        f"The rows were erased from the gradient store; named files: {named or 'none'}. "
        f"{scan['n_files']} files were searched for the rows' bytes afterwards: "
        f"{f'FOUND at {found} places' if found else 'none found'}. {proof['limits']}"
    )


def _training(store: GradientStore, n_erased: int) -> dict[str, Any] | None:
    run = store.record
    if run is None:
        return None
    settings: dict[str, Any] = jsonable(
        {
            "n_samples": _n_trained(store, n_erased),
            "loss": run.loss and run.loss.to_json(),
            "penalty": run.penalty,
            "penalty_origin": run.penalty_origin,
            "optimizer": run.optimizer,
            "architecture": run.architecture,
            "epochs": run.epochs,
            "batch_size": run.batch_size,
            "input_columns": run.input_columns,
            "model_digest": run.model_digest,
        }
    )
    return settings


def _n_trained(store: GradientStore, n_erased: int) -> int | None:
    """Return how many samples were trained on; None where others were erased, uncounted."""
    others = store.info()["erasures"] - bool(n_erased)
    return None if others and has_lost_samples(store) else store.n_samples + n_erased


def _seeds(store: GradientStore) -> dict[str, Any]:
    seeds: dict[str, Any] = jsonable(
        {"training": store.record and store.record.seed, "projection": store.seed}
    )
    return seeds


def _software() -> dict[str, Any]:
    return {
        "traceprop": traceprop.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: v for name in _PACKAGES if (v := _version(name)) is not None},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
