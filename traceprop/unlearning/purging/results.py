"""What a removal made, kept beside the store: written before a purge, read again to certify it.

    weights.npz       the new weights
    prepare.arrow     the new preparation of inputs, where there is one
    record.json       the record of the removal
    forget_set.json   the samples and source rows that were removed

Promise: with these, the model of before and the store, a certificate can be made after a crash as
it would have been without one, though the store doesn't have the rows any more.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from traceprop.attribution.model_files import load_weights, save_weights
from traceprop.attribution.store.erasure.forget import ForgetSet
from traceprop.attribution.store.gradient_store import GradientStore
from traceprop.audit.canonical import canonical, parse
from traceprop.errors import StoreError, UnlearnError
from traceprop.files import PRIVATE_FILE, write_file
from traceprop.lineage.answers.query import SourceMap
from traceprop.lineage.rowset import RowSet
from traceprop.replays import load_pipeline, save_pipeline
from traceprop.unlearning.records.removal_record import RemovalRecord, attach, pipeline_of_model
from traceprop.unlearning.request.given import GivenModel

WEIGHTS, PREPARATION, RECORD = "weights.npz", "prepare.arrow", "record.json"
_FORGET_SET = "forget_set.json"


def write_results(folder: Path, model: Any, done: RemovalRecord, forget_set: ForgetSet) -> None:
    """Write the new model's weights, preparation, record and forget set into a folder."""
    save_weights(GivenModel.of(model).module, folder / WEIGHTS)
    pipeline = pipeline_of_model(model)
    if pipeline is not None:
        save_pipeline(folder / PREPARATION, pipeline)
    rows = [
        [source.uri, source.sha256, [[span.start, span.stop] for span in named.ranges()]]
        for source, named in forget_set.rows.items()
    ]
    content = canonical({"samples": np.unique(forget_set.samples).tolist(), "rows": rows})
    write_file(folder / _FORGET_SET, content, mode=PRIVATE_FILE)
    done.save(folder / RECORD)


def finished_removal(
    folder: str | os.PathLike[str], model_before: Any, store: GradientStore
) -> tuple[Any, ForgetSet]:
    """Return what a removal made, from the folder that its purge wrote it to.

    Parameters
    ----------
    folder : path-like
        `Purge.folder`.
    model_before : torch.nn.Module or scikit-learn estimator
        The model that the rows were removed from; it is not changed.
    store : GradientStore
        The store, as it is after the purge.

    Returns
    -------
    model_after : torch.nn.Module or scikit-learn estimator
        The new model, with its record and its preparation; of a scikit-learn pipeline the steps
        before the last are the old ones.
    forget_set : ForgetSet
        What was removed: `export_compliance` takes both.

    Raises
    ------
    UnlearnError
        The folder has no such results, they are of another model, or the store doesn't know the
        sources.

    Examples
    --------
    >>> for done in finish_purges("./grad/"):  # doctest: +SKIP
    ...     theta_prime, forget_set = finished_removal(done.folder, model, store)
    """
    folder = Path(folder)
    try:
        weights = load_weights(folder / WEIGHTS)
        written = parse((folder / _FORGET_SET).read_bytes())
    except (StoreError, OSError, ValueError) as refused:
        raise UnlearnError(
            f"{folder} hasn't got the results of a removal ({refused}); give the folder that the "
            f"purge names"
        ) from refused
    known = {(source.uri, source.sha256): source for source in store.sources}
    rows = {}
    for uri, sha256, spans in written["rows"]:
        if (uri, sha256) not in known:
            raise UnlearnError(f"{store.path} doesn't know the source {uri}; give the purged store")
        listed = [np.arange(start, stop, dtype=np.int64) for start, stop in spans]
        rows[known[uri, sha256]] = RowSet(np.concatenate(listed))
    model_after = GivenModel.of(model_before).holding(weights).model
    done = RemovalRecord.load(folder / RECORD, model_after)
    if (folder / PREPARATION).exists():
        attach(model_after, done, load_pipeline(folder / PREPARATION))
    samples = np.array(written["samples"], np.int64)
    return model_after, ForgetSet(samples, SourceMap(rows), store)
