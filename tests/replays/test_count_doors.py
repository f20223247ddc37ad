"""Every public member of what a user holds is classified: a new door of row counts fails here."""

from __future__ import annotations

import math
import operator
import textwrap
import warnings

import numpy as np
import pytest

import traceprop as tp
from traceprop.errors import LineageError
from traceprop.lineage import Source, origins, values
from traceprop.lineage.recording.protocols import Protocols

ROWS = 40

# Members whose answer holds no number that rests on rows: tensors and tables, texts, types, names.
ARRAYS = [
    "T", "__abs__", "__add__", "__and__", "__array_function__", "__array_namespace__",
    "__array_ufunc__", "__copy__", "__deepcopy__", "__divmod__", "__eq__", "__floordiv__",
    "__ge__", "__getitem__", "__gt__", "__iadd__", "__iand__", "__ifloordiv__", "__ilshift__",
    "__imatmul__", "__imod__", "__imul__", "__invert__", "__ior__", "__ipow__", "__irshift__",
    "__isub__", "__itruediv__", "__ixor__", "__le__", "__lshift__", "__lt__", "__matmul__",
    "__mod__", "__mul__", "__ne__", "__neg__", "__or__", "__pos__", "__pow__", "__radd__",
    "__rand__", "__rdivmod__", "__rfloordiv__", "__rlshift__", "__rmatmul__", "__rmod__",
    "__rmul__", "__ror__", "__round__", "__rpow__", "__rrshift__", "__rshift__", "__rsub__",
    "__rtruediv__", "__rxor__", "__setitem__", "__sub__", "__truediv__", "__xor__", "all",
    "any", "argmax", "argmin", "argpartition", "argsort", "astype", "base", "byteswap",
    "choose", "clip", "compress", "conj", "conjugate", "copy", "cumprod", "cumsum", "diagonal",
    "dot", "fill", "flat", "flatten", "getfield", "imag", "in_numpy", "mT", "max", "mean",
    "min", "nonzero", "partition", "prod", "put", "ravel", "real", "repeat", "reshape",
    "resize", "round", "searchsorted", "setflags", "sort", "squeeze", "std", "sum", "swapaxes",
    "take", "to_device", "trace_of_matrix", "transpose", "var", "view",
]  # fmt: skip
TEXTS = [
    "__format__", "__repr__", "__str__", "_repr_html_", "columns", "device", "dtype",
    "itemsize", "ndim", "ops", "escapes",
]  # fmt: skip
ESCAPES = [
    "__array__", "__bool__", "__complex__", "__contains__", "__dlpack__", "__float__",
    "__hash__", "__index__", "__int__", "ctypes", "data", "dump", "dumps", "item", "tobytes",
    "tofile", "tolist",
]  # fmt: skip
KNOWINGLY = {
    "numpy": "documented as a look that isn't noted",
    "__reduce__": "a pickle, which keeps the lineage",
    "__dlpack_device__": "always the processor",
    "flags": "0 or 1, which are taken as written",
}
COUNTED = {
    "__iter__": lambda X: sum(1 for _ in X),
    "__len__": len,
    "ancestors": lambda X: next(iter(X.ancestors())).shape[0],
    "cells": lambda X: sum(1 for _ in next(iter(X.cells().values()))),
    "dependencies": lambda X: len(next(iter(X.dependencies().direct.values()))),
    "nbytes": lambda X: X.nbytes,
    "node": lambda X: X.node.shape[0],
    "shape": lambda X: X.shape[0],
    "size": lambda X: X.size,
    "sources": lambda X: len(next(iter(X.sources().values()))),
    "strides": lambda X: X.T.copy().strides[0],
    "to_pandas": lambda X: len(X.to_pandas()),
    "to_polars": lambda X: len(X.to_polars()),
    "torch": lambda X: X.torch().shape[0],
    "trace": lambda X: len(next(iter(X.trace().rows.values()))),
}
TABLE = {
    "__len__": len,
    "__arrow_c_stream__": lambda t: _arrow_rows(t),
    "sources": lambda t: len(t.sources()[t.source]),
    "dependencies": lambda t: len(t.dependencies().all()[t.source]),
    "to_arrow": lambda t: t.to_arrow().num_rows,
    "to_pandas": lambda t: len(t.to_pandas()),
    "to_polars": lambda t: len(t.to_polars()),
}
TABLE_PARTS = [
    "__contains__", "__getitem__", "__iter__", "categories", "codes", "columns", "concat",
    "drop", "fill", "filter", "from_arrow", "from_columns", "from_pandas", "from_polars",
    "from_tensors", "group_by", "head", "join", "missing", "one_hot", "rename", "select",
    "sort", "source", "take", "to_tensor", "with_column", "__repr__", "_repr_html_",
]  # fmt: skip
SOURCE = {
    "n_rows": lambda s: s.n_rows,
    "row_hashes": lambda s: len(s.row_hashes),
    "to_json": lambda s: s.to_json()["n_rows"],
    "read": lambda s: len(s.read()),
    "read_columns": lambda s: len(s.read_columns(["a"])["a"]),
}
SOURCE_PARTS = [
    "cells", "check", "check_rows", "columns", "connect", "counted", "escaped", "format",
    "from_json", "index", "kind", "locate", "name", "numeric", "open", "path", "place",
    "restore", "rows", "sha256", "streamed", "uri", "verify", "categories", "__eq__",
    "__hash__", "__repr__", "__str__", "__init_subclass__",
]  # fmt: skip
GRAPH = {
    "__iter__": lambda g: max(node.shape[0] for node in g),
    "edges": lambda g: max(a.shape[0] for a, _ in g.edges()),
    "nodes": lambda g: g.nodes[0].shape[0],
    "roots": lambda g: g.roots[0].shape[0],
    "root": lambda g: g.root().shape[0],
    "origins": lambda g: len(g.origins()[0].rows),
    "sources": lambda g: len(next(iter(g.sources().values()))),
    "dependencies": lambda g: len(next(iter(g.dependencies().direct.values()))),
    "cells": lambda g: sum(1 for _ in next(iter(g.cells().values()))),
    "networkx": lambda g: len(str(list(g.networkx().nodes(data=True)))),
}
GRAPH_PARTS = [
    "__contains__", "__len__", "__repr__", "escapes", "graphviz", "leaves", "mermaid", "ops",
    "trace",
]  # fmt: skip
FUNCTIONS = {
    "np.shape": lambda X: np.shape(X)[0],
    "np.size": np.size,
    "np.size by name": lambda X: np.size(a=X),
    "np.diag_indices_from": lambda X: len(np.diag_indices_from(X.T @ X)[0]) + 0.5,
    "np.tril_indices_from": lambda X: len(np.tril_indices_from(X)[0]),
    "hash of the shape": lambda X: hash(X.shape) % 1009 + 2,
    "the shape before a tuple": lambda X: operator.add((1,), X.shape)[1],
    "twice the shape": lambda X: (2 * X.shape)[2],
    "the shape as an array": lambda X: np.asarray(X.shape)[0],
    "its product": lambda X: np.prod(X.shape),
    "math.prod": lambda X: math.prod(X.shape),
    "an array of that shape": lambda X: np.ones(X.shape).sum(),
    "an item getter": lambda X: operator.itemgetter(0)(X.shape),
    "formatted as a number": lambda X: int(operator.mod("%d %d", X.shape).split()[0]),
    "the shape reversed": lambda X: list(reversed(X.shape))[-1],
    "origins": lambda X: len(origins(X)[0].rows),
    "descendants": lambda X: len(X.ancestors().leaves[0].rows([1]).descendants(X.mean(axis=0))) + 1,
    "a step's operation": lambda X: (X * 2).ops(raw=True)[-1].node.shape[0],
    "the type of a value": lambda X: np.dtype(np.min_scalar_type(X.max() * 1e30)).itemsize,
    "new rows prepared": lambda X: tp.apply(X - X.mean(axis=0), np.zeros((1, 2)))[0, 0],
    "an index too large": lambda X: _tried(lambda n: X[n], 1000),
    "an array that doesn't fit": lambda X: _tried(lambda n: X[:, 0] + np.zeros(n + 2), 38) + 1,
    "a reshape that doesn't fit": lambda X: _tried(lambda n: X.reshape(79 + n, 1), 1) + 1,
    "a matrix multiplied": lambda X: len(np.einsum_path("ij,ij->", X, X)[1]),
}  # fmt: skip


def _tried(operation, most):
    """Count how often an operation works."""
    for n in range(most):
        try:
            operation(n)
        except (IndexError, ValueError):
            return n + 0.5
    return most


def _arrow_rows(table):
    import pyarrow

    return pyarrow.table(table).num_rows


def members(kind):
    plain = set(dir(object)) - {"__eq__", "__repr__", "__str__", "__hash__", "__format__"}
    own = {name for name in dir(kind) if name.startswith("__") or not name.startswith("_")}
    own |= {"_repr_html_"} & set(dir(kind))
    out = {
        "__annotations__",
        "__slots__",
        "__slotnames__",
        "__weakref__",
        "__module__",
        "__getattr__",
        "__firstlineno__",  # from Python 3.13 on, as the next
        "__static_attributes__",
    }
    defined = {name for each in kind.__mro__[:-1] for name in vars(each)}
    return {name for name in own & defined if name not in (plain | out) or name == "__reduce__"}


def load(tmp_path, kind=tp.load_csv):
    path = tmp_path / "table.csv"
    table = np.random.default_rng(1).normal(size=(ROWS, 2))
    path.write_text("a,b\n" + "".join(f"{a!r},{b!r}\n" for a, b in table.tolist()))
    return path, kind(path)


def refused(made, path):
    with pytest.raises(LineageError, match=r"can't be (replayed without rows|run again on)"):
        tp.replay(made, without={path: [3]})


def members_of_texts():
    """Names that a tensor has for the sake of texts and records alone: asking is an escape."""
    made = vars(Protocols)
    return {
        name
        for kind in (np.str_, np.bytes_, np.void)
        for name in dir(kind)
        if isinstance(made.get(name), property)
        and made[name].fget.__qualname__ == "_of_text.<locals>.get"
    }


def classified(kind, *groups):
    known = {name for group in groups for name in group}
    assert members(kind) - known - {"__init__", "__new__"} == set()


def test_members_of_tensors():
    classified(tp.ProvenanceTensor, ARRAYS, TEXTS, ESCAPES, KNOWINGLY, COUNTED, members_of_texts())


def test_members_of_tables_sources_and_graphs():
    classified(tp.Table, TABLE, TABLE_PARTS)
    classified(Source, SOURCE, SOURCE_PARTS)
    classified(tp.lineage.LineageGraph, GRAPH, GRAPH_PARTS)


@pytest.mark.parametrize("door", COUNTED | FUNCTIONS)
def test_counts_of_a_tensor(tmp_path, door):
    path, X = load(tmp_path)
    made = X * (float((COUNTED | FUNCTIONS)[door](X)) * 0.37)
    refused(made, path)


@pytest.mark.parametrize("door", TABLE)
def test_counts_of_a_table(tmp_path, door):
    path, table = load(tmp_path, tp.read_csv)
    refused(table.to_tensor() * (TABLE[door](table) * 0.37), path)


@pytest.mark.parametrize("door", SOURCE)
def test_counts_of_a_source(tmp_path, door):
    path, X = load(tmp_path) if door != "read_columns" else load(tmp_path, tp.read_csv)
    tensor = X if door != "read_columns" else X.to_tensor()
    refused(tensor * (SOURCE[door](tensor.ancestors().leaves[0]) * 0.37), path)


@pytest.mark.parametrize("door", GRAPH)
def test_counts_of_a_graph(tmp_path, door):
    if door == "networkx":
        pytest.importorskip("networkx")
    path, X = load(tmp_path)
    refused(X * (GRAPH[door]((X + 1).ancestors()) * 0.37), path)


def _rows(found):
    return len(next(iter(found.values()))) * 0.37


ASKED_AGAIN = {
    "sources": lambda X: _rows(X.sources()),
    "node": lambda X: X.node.shape[0] * 0.37,
    "shape": lambda X: X.shape[0] * 0.37,
}


@pytest.mark.parametrize("door", ASKED_AGAIN)
@pytest.mark.parametrize("written", [False, True])
def test_a_count_that_is_asked_again_is_held_against_later_steps(tmp_path, door, written):
    path, X = load(tmp_path)
    Y = X * 2.0
    ASKED_AGAIN[door](Y)
    Z = Y + 0.25
    if written:
        Y += 0.5  # another operation, which no count has left of
    again = ASKED_AGAIN[door](Y)
    refused(Y * again, path)
    refused(Z * again, path)
    refused(Z * (ASKED_AGAIN[door](Z) + 1), path)


@pytest.mark.parametrize("door", ["sources", "ops", "shape"])
def test_asking_without_reading_a_count_notes_nothing(tmp_path, door):
    path, X = load(tmp_path)
    Y = X * 2.0
    for _ in range(2):
        answer = getattr(Y, door)
        str(answer() if callable(answer) else answer)
    Y = (Y + 0.25)[:, :1] / Y.shape[1]
    again = tp.replay(Y, without={path: [3]})
    assert np.array_equal(values(again), np.delete(values(Y), 3, axis=0))


@pytest.mark.filterwarnings("ignore::traceprop.errors.LineageEscapeWarning")
@pytest.mark.parametrize("door", ["item", "tolist", "__float__", "tobytes", "__index__"])
def test_escapes(tmp_path, door):
    path, X = load(tmp_path)
    largest = X.max() if door != "__index__" else X.argmax()
    getattr(largest, door)()
    refused(X * 0.37, path)


def test_what_is_no_buffer():
    X = tp.array([1.0, 2.0])
    with pytest.raises(TypeError):
        memoryview(X)
    assert not hasattr(X, "__array_interface__")


SHOWN = {
    "print(len(X))": True,
    "print('rows', len(X), X.shape[0])": True,
    "print(f'{len(X)} rows, {X.shape[0] / 7:.1f}')": True,
    "print('kept', round(len(X[X[:, 0] > 0]) / len(X), 3))": True,
    "print(X.shape)": True,
    "print(f'{X.shape}')": True,
    "n = len(X)": False,
    "print(n := len(X))": False,
    "text = f'{len(X)}'": False,
    "print(kept.append(len(X)))": False,
    "print(keep(len(X)))": False,
    "print([kept.append(k) for k in [len(X)]])": False,
    "print(kept[len(X)])": False,
    "print = keep; print(len(X))": False,
    "kept.append(X.shape[0])": False,
    "print((lambda: kept.append(len(X)))())": False,
    "print(len(X)); kept.append(len(X))": False,
}


@pytest.mark.parametrize("line", SHOWN)
@pytest.mark.parametrize("inside", [True, False])
def test_what_is_printed_is_not_held_against_numbers(tmp_path, line, inside, capsys):
    path, X = load(tmp_path)
    script = tmp_path / "script.py"
    body = f"{line}\nY = X * 0.37"
    if inside:
        body = f"def main(X):\n{textwrap.indent(body, '    ')}\n    return Y\nY = main(X)"
    script.write_text(f"from collections import defaultdict\n{body}\n")
    kept = Kept()
    known = {"X": X, "kept": kept, "keep": kept.append}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(script.read_text(), str(script), "exec", dont_inherit=True), known)
    if not SHOWN[line]:
        refused(known["Y"], path)
        return
    again = tp.replay(known["Y"], without={path: [3]})
    assert np.array_equal(values(again), np.delete(values(X), 3, axis=0) * 0.37)


class Kept(list):
    """A list that keeps what it is asked for."""

    def __getitem__(self, key):
        self.append(key)


def test_a_text_that_is_not_the_code_proves_nothing(tmp_path):
    path, X = load(tmp_path)
    script = tmp_path / "script.py"
    script.write_text("n_rows=len(X)\nY = X * 0.37\n")
    code = compile(script.read_text(), str(script), "exec", dont_inherit=True)
    script.write_text("print (len(X))\nY = X * 0.37\n")
    known = {"X": X}
    exec(code, known)
    refused(known["Y"], path)
