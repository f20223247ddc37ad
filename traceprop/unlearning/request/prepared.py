"""The training data prepared as if the removed rows had never been in the sources.

Means, scales, filters and categories hold a trace of every row that they were computed from. So the
recorded lineage is replayed without the rows, and the steps of a scikit-learn pipeline are fitted
again on what comes out.

Promises: a replay is used only where the same replay with all rows gives the recorded training
data, to the bit; where it can't be, the old preparation stays and the reason is said; nothing is
guessed about which row became which sample.
"""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from traceprop.attribution.estimators.problem import plain_values
from traceprop.attribution.models import plain_inputs
from traceprop.attribution.sklearn_run import plain_labels
from traceprop.curvature.problem import Problem, Rows
from traceprop.errors import (
    DataError,
    LineageError,
    LineageWarning,
    RowError,
    SourceError,
    StoreError,
    TracepropError,
    UnlearnError,
)
from traceprop.lineage import values
from traceprop.replays import Pipeline, diff, save_pipeline
from traceprop.replays import replay as replayed_of
from traceprop.replays.pipeline.applying import pipeline_of
from traceprop.unlearning.request.given import GivenModel

if TYPE_CHECKING:
    from traceprop.attribution.store.erasure.forget import ForgetSet
    from traceprop.attribution.store.gradient_store import GradientStore
    from traceprop.lineage import ProvenanceTensor

Array = NDArray[Any]

_REFUSALS: dict[type[TracepropError], str] = {
    SourceError: "a source can't be read again as it was",
    StoreError: "the store has no lineage of the training data",
    LineageError: "a recorded step can't be run again without the rows",
    RowError: "a source hasn't the rows any more",
    DataError: "the data can't be prepared again",
}
"""What a record says of a refusal: a message itself may name rows, keys and paths."""


class _Refused(DataError):
    """A refusal whose message names nothing that a published record mustn't."""


@dataclass(frozen=True, slots=True, eq=False)
class Raw:
    """What `fit` was given, as far as it was given again.

    Parameters
    ----------
    inputs, targets : array-like, shape (n, ...)
        Row i is sample i.
    """

    inputs: ArrayLike
    targets: ArrayLike


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What is trained on without the samples, and what is known of how it was prepared.

    Parameters
    ----------
    problem : Problem
        The recorded problem where the old preparation stays; else the new one, of the rows that
        stay.
    forget_inputs : ndarray or None
        The removed samples as the new preparation gives them; None where it has no way to.
    pipeline : Pipeline or None
        How new rows are prepared from their source, for `tp.apply`.
    steps : estimator or None
        The fitted steps before the last of a scikit-learn pipeline, where they are new.
    said : str
        For the record of the removal.
    facts : mapping or None
        The same in figures: what moved, and the digest of the new pipeline.
    """

    problem: Problem
    forget_inputs: Array | None
    pipeline: Pipeline | None
    steps: Any
    said: str
    facts: Mapping[str, Any] | None


def prepared_without(
    given: GivenModel,
    forget_set: ForgetSet,
    problem: Problem,
    forget: Rows,
    raw: Raw | None,
    replay: bool | None,
) -> Prepared:
    """Prepare the training data without some samples.

    Parameters
    ----------
    given : GivenModel
        The model.
    forget_set : ForgetSet
        The samples, and the rows that name them.
    problem : Problem
        The recorded problem.
    forget : ndarray of int64
        Rows of it that go.
    raw : Raw or None
        What the user gave as the data.
    replay : bool or None
        Whether it must be done, mustn't, or is done where it can be.

    Raises
    ------
    UnlearnError
        `replay` is True and it can't be done; the message says why.
    """
    why = "replay=False was asked for"
    if replay is not False:
        try:
            return _again(given, forget_set, problem, forget, raw)
        except tuple(_REFUSALS) as refused:
            if replay:
                raise UnlearnError(
                    f"the preparation can't be done again without the rows: "
                    f"{str(refused).rstrip('.')}; leave replay= out to keep the old one, which the "
                    f"record then says"
                ) from refused
            why = str(refused) if isinstance(refused, _Refused) else _kind_of(refused)
    said = _kept(given, forget_set.store.steps, why)
    return Prepared(problem, problem.inputs[forget], None, None, said, None)


def _kind_of(refused: TracepropError) -> str:
    return next(said for kind, said in _REFUSALS.items() if isinstance(refused, kind))


def _again(
    given: GivenModel, forget_set: ForgetSet, problem: Problem, forget: Rows, raw: Raw | None
) -> Prepared:
    """Replay, then fit the pipeline's own steps again.

    Raises
    ------
    LineageError, SourceError, RowError, StoreError, DataError
        It can't be done.
    """
    store = forget_set.store
    n = len(problem.samples)
    if not np.array_equal(np.sort(problem.samples), np.arange(n)):
        raise _Refused("the run trained on a part of its data only")
    if raw is not None and given.preparation is not None:
        keep = np.delete(np.arange(n), problem.samples[forget])
        X, y = _rows_of(raw.inputs, keep), plain_labels(raw.targets)[keep]
        return _refitted(
            given, problem, forget, X, y, _rows_of(raw.inputs, problem.samples[forget]), None
        )
    if raw is not None and store.lineage_digest() is None:
        raise _Refused("the training data were given, and not how they were prepared")
    lineage = store.lineage()
    if len(lineage.roots) != 2:
        raise _Refused("inputs and labels aren't both tracked, so which row is which isn't known")
    if not forget_set.rows:
        raise _Refused("the forget set names samples and no source rows")
    with warnings.catch_warnings():
        # The replay is held against the recorded data below, to the bit.
        warnings.simplefilter("ignore", LineageWarning)
        X, y = replayed_of(lineage)
        _check_same(given, problem, X, y)
        X2, y2 = replayed_of(lineage, without=forget_set)
    pipeline = _pipeline_of(X2)
    facts = _facts(X, X2, pipeline)
    raw_forget = (
        None if pipeline is None else _prepared_rows(store, pipeline, problem.samples[forget])
    )
    if given.preparation is not None:
        return _refitted(given, problem, forget, values(X2), plain_labels(y2), raw_forget,
                         (facts, pipeline))  # fmt: skip
    inputs, targets = _as_recorded(given, problem, X2, y2)
    new = replace(problem, samples=np.arange(len(inputs)), inputs=inputs, targets=targets)
    cast = None
    if raw_forget is not None:
        shape = (len(forget), *problem.inputs.shape[1:])
        cast = np.ascontiguousarray(raw_forget, problem.inputs.dtype).reshape(shape)
    return Prepared(new, cast, pipeline, None, _told(facts, given), facts)


def _check_same(given: GivenModel, problem: Problem, X: ProvenanceTensor, y: Any) -> None:
    """Make sure that the lineage is how the recorded training data came about."""
    inputs, targets = _as_recorded(given, problem, X, y)
    order = problem.samples
    if not (
        inputs.shape == problem.inputs.shape
        and targets.shape == problem.targets.shape
        and np.array_equal(inputs[order], problem.inputs)
        and np.array_equal(targets[order], problem.targets)
    ):
        raise _Refused(
            "the recorded pipeline, run again, gives other numbers than were trained on (steps "
            "after it, or another machine)"
        )


def _as_recorded(given: GivenModel, problem: Problem, X: Any, y: Any) -> tuple[Array, Array]:
    """Return replayed tensors as the model was trained on them."""
    inputs = plain_inputs(given.model, X)
    targets = given.targets(plain_labels(y)) if given.read is not None else plain_values(y)
    inputs = np.ascontiguousarray(inputs, problem.inputs.dtype)
    targets = np.ascontiguousarray(targets, problem.targets.dtype)
    if inputs.size // max(len(inputs), 1) != problem.inputs[0].size:
        raise _Refused(
            f"prepared without the rows the inputs have {inputs.shape[1:]} numbers and not "
            f"{problem.inputs.shape[1:]}, so the model itself would be another"
        )
    return (
        inputs.reshape(len(inputs), *problem.inputs.shape[1:]),
        targets.reshape(len(targets), *problem.targets.shape[1:]),
    )


def _refitted(
    given: GivenModel,
    problem: Problem,
    forget: Rows,
    X: Any,
    y: Any,
    gone: Any,
    replayed: tuple[dict[str, Any], Pipeline | None] | None,
) -> Prepared:
    """Fit the steps before the last of a pipeline again, on the rows that stay."""
    from sklearn.base import clone

    steps = clone(given.preparation).fit(X, y)
    inputs = _dense(steps.transform(X))
    if inputs.shape[1] != problem.inputs.shape[1]:
        raise _Refused(
            f"prepared without the rows the inputs have {inputs.shape[1]} columns and not "
            f"{problem.inputs.shape[1]}, so the model itself would be another"
        )
    new = replace(
        problem, samples=np.arange(len(inputs)), inputs=inputs, targets=given.targets(np.asarray(y))
    )
    names = [type(step).__name__ for _, step in steps.steps]
    facts: dict[str, Any] = {"refitted": names, **(replayed[0] if replayed else {})}
    forget_inputs = None if gone is None else _dense(steps.transform(gone))
    pipeline = replayed[1] if replayed else None
    return Prepared(new, forget_inputs, pipeline, steps, _told(facts, given), facts)


def _dense(prepared: Any) -> NDArray[np.float64]:
    dense = prepared.toarray() if hasattr(prepared, "toarray") else prepared
    return np.ascontiguousarray(plain_values(dense), np.float64)


def _rows_of(X: Any, rows: Rows) -> Any:
    """Return rows of an array or a DataFrame."""
    from traceprop.lineage import ProvenanceTensor

    if isinstance(X, ProvenanceTensor):
        return values(X)[rows]
    return X.iloc[rows] if hasattr(X, "iloc") else np.asarray(X)[rows]


def _pipeline_of(X: ProvenanceTensor) -> Pipeline | None:
    """Return how new rows are prepared; None where a step isn't row-wise."""
    try:
        return pipeline_of(X)
    except (LineageError, SourceError):
        return None


def _prepared_rows(store: GradientStore, pipeline: Pipeline, samples: Rows) -> Array | None:
    """Return removed samples as the new pipeline prepares their rows.

    None where a sample isn't made of one row of one source, or where the new filters drop one.
    """
    sources = {source.uri: source for source in store.sources}
    if {leaf.source for leaf in pipeline.leaves} != set(sources) or len(sources) != 1:
        return None
    source = next(iter(sources.values()))
    numbers: list[int] = []
    for sample in samples.tolist():
        rows = store.get_provenance(sample).rows.get(source, ())
        if len(rows) != 1:
            return None
        numbers.extend(rows)
    columns = [leaf.column for leaf in pipeline.leaves]
    named = [column for column in columns if column is not None]
    read = source.read_columns(named) if named else {}
    whole = None if len(named) == len(columns) else source.read()
    arrays = [(whole if name is None else read[name])[numbers] for name in columns]  # type: ignore[index]
    prepared, kept, _ = pipeline.plan.run(arrays, len(numbers))
    return prepared if len(kept) == len(numbers) else None


def _facts(X: ProvenanceTensor, X2: ProvenanceTensor, pipeline: Pipeline | None) -> dict[str, Any]:
    """Say what moved, without values: from two means anybody could work out the row."""
    told = diff(X, X2).to_json()
    return {
        "statistics": told["statistics"],
        "rows_left": sum(each["left"] for each in told["rows"]),
        "rows_entered": sum(each["entered"] for each in told["rows"]),
        "pipeline_sha256": None if pipeline is None else _digest(pipeline),
    }


def _digest(pipeline: Pipeline) -> str:
    """Return the SHA-256 of the file that `tp.save_pipeline` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline"
        save_pipeline(path, pipeline)
        return hashlib.sha256(path.read_bytes()).hexdigest()


def _told(facts: Mapping[str, Any], given: GivenModel) -> str:
    parts = []
    if "statistics" in facts:
        moved = sum(each["moved"] for each in facts["statistics"])
        parts.append(
            f"Replayed without the rows: {moved} of {len(facts['statistics'])} statistics moved, "
            f"{facts['rows_left']} rows left and {facts['rows_entered']} entered."
        )
        where = "with the new pipeline"
        if facts["pipeline_sha256"] is None:
            where = "by the replayed program, which has steps that aren't row-wise"
        parts.append(f"New inputs must be prepared {where}.")
    if "refitted" in facts:
        parts.append(
            f"The pipeline's own steps ({' → '.join(facts['refitted'])}) were fitted again without "
            f"the rows."
        )
    return " ".join(parts)


def _kept(given: GivenModel, steps: tuple[str, ...], why: str) -> str:
    named = " → ".join(map(str, steps))
    own = given.preparation
    if own is not None:
        names = " → ".join(type(step).__name__ for _, step in own.steps)
        named = f"{named} → {names}" if named else names
    if not named:
        return (
            "No preprocessing was recorded. Statistics that were computed before the training data "
            "was recorded may still contain the removed rows."
        )
    return (
        f"Not replayed ({why}): statistics in the recorded steps ({named}), such as means and "
        f"scales, still contain the removed rows, and new inputs must be prepared as before."
    )
