"""Pipelines in files: `tp.save_pipeline` and `tp.load_pipeline`.

A file holds the plan: its steps by the names of NumPy's functions and of ours, their parameters,
the frozen statistics, the columns and categories of the source. It holds no row, no function and
no pickle, and a loaded pipeline needs no source. What it holds of the recorded data is listed by
`Pipeline.statistics` and `Pipeline.categories`: removing a row means replaying without it and
saving anew.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import numpy as np

from traceprop.errors import LineageError
from traceprop.lineage.graph.node import make_node
from traceprop.lineage.rerun import values_in, why_not
from traceprop.lineage.saved import arrow_file
from traceprop.lineage.saved.encoding import Decoder, Encoder, Unresolved, operation_name
from traceprop.replays.leaves import Given
from traceprop.replays.pipeline.applying import pipeline_of
from traceprop.replays.pipeline.pipeline import Pipeline
from traceprop.replays.pipeline.plan import Filter, Leaf, Plan, Statistic, Step

_FORMAT: Final = arrow_file.Format("traceprop-pipeline", 1, b"traceprop.pipeline", "pipeline")


def save_pipeline(
    path: str | os.PathLike[str], X: Any, *, sources: Given | None = None
) -> Pipeline:
    """Write how new rows are prepared to be rows of a tensor, replacing a file whole or not at all.

    Parameters
    ----------
    path : path
        The file is for its owner alone (mode 0600): statistics are made of training data.
    X : ProvenanceTensor, LineageGraph or Pipeline
        As for `tp.apply`.
    sources : mapping of source to array, optional
        As for `tp.replay`.

    Returns
    -------
    Pipeline
        What was saved; its `statistics` and `categories` are what the file holds of the data.

    Raises
    ------
    LineageError, SourceError
        As `tp.apply`; or when a value of the pipeline can't be kept in a file, or there is no such
        folder.

    Examples
    --------
    >>> tp.save_pipeline("prepare.arrow", X)  # doctest: +SKIP
    >>> prepare = tp.load_pipeline("prepare.arrow")  # doctest: +SKIP
    >>> tp.apply(prepare, {"age": 41, "income": 38_000.0})  # doctest: +SKIP
    """
    pipeline = X if isinstance(X, Pipeline) else pipeline_of(X, None, sources)
    encoder = Encoder()
    plan = pipeline.plan
    content = {
        "sources": pipeline.sources,
        "columns": None if pipeline.columns is None else list(pipeline.columns),
        "escapes": list(pipeline.escapes),
        "off": pipeline.off,
        "tried": pipeline.tried,
        "leaves": [_leaf(each, encoder) for each in plan.leaves],
        "statistics": [_statistic(each, encoder) for each in plan.statistics],
        "steps": [_step(each, encoder) for each in plan.steps],
        "filters": [[each.register, each.name] for each in plan.filters],
        "result": [plan.result, plan.axis],
    }
    arrow_file.write(Path(path), _FORMAT, content, encoder.arrays)
    return pipeline


def load_pipeline(path: str | os.PathLike[str]) -> Pipeline:
    """Read what `save_pipeline` wrote; `tp.apply` takes it in place of the tensor.

    Raises
    ------
    LineageError
        When the file is missing, damaged, of another kind, or of another version than this one.
    """
    header, arrays = arrow_file.read(Path(path), _FORMAT)
    decoder = Decoder(arrays)
    try:
        count = len(header["leaves"]) + len(header["statistics"])
        steps = [_restored(each, decoder, count + i) for i, each in enumerate(header["steps"])]
        registers = count + len(steps)
        result, axis = header["result"]
        plan = Plan(
            [_restored_leaf(each, decoder) for each in header["leaves"]],
            [_restored_statistic(each, decoder) for each in header["statistics"]],
            steps,
            [Filter(_below(i, registers), str(name)) for i, name in header["filters"]],
            _below(result, registers),
            int(axis),
        )
        columns = header["columns"]
        return Pipeline(
            plan,
            header["sources"],
            None if columns is None else tuple(columns),
            tuple(header["escapes"]),
            header["off"],
            header["tried"],
            header["numpy"],
        )
    except arrow_file.DAMAGE as wrong:
        raise LineageError(f"{path} is a damaged pipeline: save it again.") from wrong


def _leaf(leaf: Leaf, encoder: Encoder) -> dict[str, Any]:
    return {
        **leaf._asdict(),
        "dtype": encoder.dtype(leaf.dtype),
        "columns": list(leaf.columns),
        "tail": list(leaf.tail),
    }


def _restored_leaf(record: dict[str, Any], decoder: Decoder) -> Leaf:
    leaf = Leaf(**record)
    return leaf._replace(
        dtype=decoder.dtype(record["dtype"]),
        columns=tuple(leaf.columns),
        tail=tuple(leaf.tail),
        categories=None if leaf.categories is None else tuple(leaf.categories),
        needed=None if leaf.needed is None else tuple(leaf.needed),
    )


def _statistic(statistic: Statistic, encoder: Encoder) -> dict[str, Any]:
    if statistic.values.dtype.hasobject or statistic.values.dtype.kind == "T":
        raise LineageError(
            f"the statistic {statistic.name} holds Python objects, which a pipeline's file "
            "doesn't: make it an array of numbers or of text"
        )
    columns = statistic.columns
    return {
        "name": statistic.name,
        "columns": None if columns is None else list(columns),
        "values": encoder.value(statistic.values),
        "of_rows": statistic.of_rows,
    }


def _restored_statistic(record: dict[str, Any], decoder: Decoder) -> Statistic:
    columns = record["columns"]
    return Statistic(
        str(record["name"]),
        None if columns is None else tuple(columns),
        np.asarray(decoder.value(record["values"])),
        bool(record["of_rows"]),
    )


def _step(step: Step, encoder: Encoder) -> dict[str, Any]:
    node = step.node
    record = {
        "op": operation_name(node.op),
        "args": [encoder.value(each) for each in node.args],
        "kwargs": None if node.kwargs is None else encoder.value(node.kwargs)["dict"],
        "shape": list(node.shape),
        "dtype": encoder.dtype(node.dtype),
        "item": node.item,
        "inputs": list(step.inputs),
        "axis": step.axis,
    }
    kept = Decoder(encoder.arrays)
    template = (kept.value({"tuple": record["args"]}), node.kwargs)
    lost = [each for each in values_in(template) if isinstance(each, Unresolved)]
    if lost or isinstance(kept.operation(str(record["op"])), Unresolved):
        what = lost[0].name if lost else record["op"]
        raise LineageError(
            f"{node.name} took {what}, which a pipeline's file can't keep: pass arrays and numbers"
        )
    return record


def _restored(record: dict[str, Any], decoder: Decoder, register: int) -> Step:
    kwargs = record["kwargs"]
    node = make_node(
        decoder.operation(record["op"]),
        (),
        tuple(decoder.value(each) for each in record["args"]),
        None if kwargs is None else {name: decoder.value(v) for name, v in kwargs.items()},
        tuple(record["shape"]),
        decoder.dtype(record["dtype"]),
        record["item"],
    )
    why = why_not(node)
    if why is not None:
        raise ValueError(why)
    inputs = tuple(_below(i, register) for i in record["inputs"])
    return Step(node, inputs, int(record["axis"]))


def _below(i: int, count: int) -> int:
    if not 0 <= i < count:
        raise IndexError(f"register {i} of {count}")
    return i
