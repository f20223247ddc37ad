"""Saving a lineage and loading it again: an Arrow IPC file with a JSON header (`arrow_file`).

The header (schema metadata `traceprop.lineage`) lists sources and operations; the arrays are those
that chose rows or were constants. No tracked data is saved, and nothing of the file is executed:
an operation is found again only by the name of a NumPy function or of one of ours.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import numpy as np

from traceprop.errors import LineageError
from traceprop.lineage.answers.query import node_of
from traceprop.lineage.graph.counted import first_count, restore_count, was_there
from traceprop.lineage.graph.escaped import Escape, escapes_of, note_escape
from traceprop.lineage.graph.lineage_graph import LineageGraph
from traceprop.lineage.graph.node import SOURCE, Node, inputs_first, make_node
from traceprop.lineage.recording.tracked import Tracked
from traceprop.lineage.saved import arrow_file
from traceprop.lineage.saved.encoding import Decoder, Encoder, operation_name
from traceprop.lineage.source import Source

FORMAT: Final = "traceprop-lineage"
VERSION: Final = 3
_FORMAT: Final = arrow_file.Format(FORMAT, VERSION, b"traceprop.lineage", "lineage")


def save_lineage(path: str | os.PathLike[str], *tensors: Tracked | LineageGraph) -> None:
    """Write the lineage of tensors to a file, replacing it whole or not at all.

    The file is for its owner alone (mode 0600): masks and indices tell rows apart.

    Parameters
    ----------
    path : path
    *tensors : ProvenanceTensor or LineageGraph
        Their operations, masks and indices are written, their values are not.

    Raises
    ------
    LineageError
        When there are none, one has no lineage, or the folder isn't there.

    Examples
    --------
    >>> tp.save_lineage("lineage.arrow", X_filt, y_filt)  # doctest: +SKIP
    >>> tp.load_lineage("lineage.arrow").trace(17)  # doctest: +SKIP
    """
    roots: list[Node] = []
    for each in tensors:
        roots.extend(each.roots if isinstance(each, LineageGraph) else [node_of(each)])
    if not roots:
        raise LineageError("There is no lineage to save: give the tensors behind the path.")
    nodes = inputs_first(*roots)
    number = {node: i for i, node in enumerate(nodes)}
    encoder = Encoder()
    sources: dict[Source, int] = {}
    records = []
    door = first_count(nodes)
    for node in nodes:
        args: Any = node.args
        if node.op is SOURCE:
            args = (sources.setdefault(node.args[0], len(sources)), *node.args[1:])
        records.append(
            {
                "op": operation_name(node.op),
                "inputs": [number[parent] for parent in node.inputs],
                "args": [encoder.value(each) for each in args],
                "kwargs": None if node.kwargs is None else encoder.value(node.kwargs)["dict"],
                "shape": list(node.shape),
                "dtype": encoder.dtype(node.dtype),
                "item": node.item,
                "counted": door is not None and was_there(node, door),
            }
        )
    header = {
        "sources": [_described(source, encoder) for source in sources],
        "nodes": records,
        "roots": [number[root] for root in roots],
        "count": None if door is None else [door.door, door.filename, door.line],
        "escapes": [[list(each) for each in escapes_of(root)] for root in roots],
    }
    arrow_file.write(Path(path), _FORMAT, header, encoder.arrays)


def _described(source: Source, encoder: Encoder) -> dict[str, Any]:
    """Return what is saved of a source; its rows' hashes are one of the file's arrays."""
    return {**source.to_json(), "row_hashes": encoder.value(source.row_hashes)}


def _source(record: dict[str, Any], decoder: Decoder) -> Source:
    """Make a source again from what `_described` gave."""
    source = Source.from_json(record)
    hashes = decoder.value(record["row_hashes"])
    if hashes is not None:
        if hashes.dtype != np.uint64 or hashes.shape != (source.n_rows,):
            raise ValueError("row hashes that don't fit the source")
        source.row_hashes = hashes
    return source


def load_lineage(path: str | os.PathLike[str]) -> LineageGraph:
    """Read what `save_lineage` wrote.

    Returns
    -------
    LineageGraph
        With a root per saved tensor, in order; it answers `sources`, `ops`, `trace` and `origins`.

    Raises
    ------
    LineageError
        When the file is missing, damaged, of another kind, or of a later version than this one.
    """
    header, arrays = arrow_file.read(Path(path), _FORMAT)
    try:
        roots = _nodes(header, Decoder(arrays))
    except arrow_file.DAMAGE as wrong:
        raise LineageError(f"{path} is a damaged lineage: save it again.") from wrong
    return LineageGraph(roots)


def _nodes(header: dict[str, Any], decoder: Decoder) -> tuple[Node, ...]:
    """Make the nodes of a header again and return the roots."""
    sources = [_source(each, decoder) for each in header["sources"]]
    nodes: list[Node] = []
    for record in header["nodes"]:
        op = decoder.operation(record["op"])
        args = tuple(decoder.value(each) for each in record["args"])
        if op is SOURCE:
            number, rows, column = args
            args = (sources[number], rows, column)
        kwargs = record["kwargs"]
        inputs = tuple(nodes[_before(i, len(nodes))] for i in record["inputs"])
        node = make_node(
            op,
            inputs,
            args,
            None if kwargs is None else {k: decoder.value(v) for k, v in kwargs.items()},
            tuple(record["shape"]),
            decoder.dtype(record["dtype"]),
            record["item"],
        )
        nodes.append(node)
    if header["count"] is not None:
        door, filename, line = header["count"]
        counted = [n for n, r in zip(nodes, header["nodes"], strict=True) if r["counted"]]
        restore_count(sources, counted, str(door), str(filename), int(line))
    roots = tuple(nodes[_before(i, len(nodes))] for i in header["roots"])
    for root, escapes in zip(roots, header["escapes"], strict=True):
        for door, filename, line in escapes:
            note_escape(root, Escape(str(door), str(filename), int(line)))
    return roots


def _before(i: int, count: int) -> int:
    if not 0 <= i < count:
        raise IndexError(f"operation {i} of {count}")
    return i
