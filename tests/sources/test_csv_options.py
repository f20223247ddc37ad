"""Options of CSV files: declared types, skipped and commented lines, and what can't be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import traceprop as tp
from traceprop.errors import SourceError
from traceprop.lineage import values

Write = Callable[[bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: bytes) -> Path:
        path = tmp_path / "in.csv"
        path.write_bytes(content)
        return path

    return write


def test_skipped_and_commented_lines_count_as_lines_but_not_as_rows(write: Write) -> None:
    content = b'A "title\n\n# made by hand\na,b\n1,2\n# and "so on, \n\n3,"#4"\n#5,6'
    path = write(content)
    table = tp.read_csv(path, skip_rows=2, comment="#", dtypes={"b": str})
    assert values(table["b"]).tolist() == ["2", "#4"]
    lines, offsets = table.source.locate([0, 1])
    assert lines.tolist() == [5, 8]
    assert [content[offset:][:3] for offset in offsets] == [b"1,2", b'3,"']
    assert str(table["a"][1].trace()) == "in.csv row 1 (line 8)"
    again = type(table.source).from_json(table.source.to_json())
    assert again.locate([1])[0].tolist() == [8]


def test_errors_below_skipped_and_commented_lines_name_the_physical_line(write: Write) -> None:
    options = {"skip_rows": 1, "comment": "#"}
    for content, message in {
        b"t\na,b\n# c\n1,2\n#\n3\n": r"line 6 \(row 1\) has 1 value",
        b"t\na,b\n# c\n1,x\n": r"line 4 \(row 0\), column 'b': 'x' is not a number",
        b't\na,b\n# "\n1,"2\n': r"line 4, column 2: a quote opens",
        b"t\n# all\n": r"in\.csv is empty after skip_rows=1 lines",
        b"t\na,b\n# all\n": r"has a header but no data row",
        b"t": r"is empty after skip_rows=1 lines",
    }.items():
        path = write(content)
        with pytest.raises(SourceError, match=message):
            tp.load_csv(path, **options)
        with pytest.raises(SourceError, match=message):
            list(tp.load_csv(path, batch_rows=1, **options))


def test_declared_types(write: Write) -> None:
    path = write(
        b"zip,flag,n,x,day,at\n007,true,1,1.5,2024-02-29,2024-02-29T12:30:00\n01,,2,2.5,,\n"
    )
    table = tp.read_csv(
        path,
        dtypes={
            "zip": str,
            "flag": bool,
            2: np.int8,
            "x": "float32",
            "day": "datetime64[D]",
            "at": "datetime64[ms]",
        },
    )
    assert values(table["zip"]).tolist() == ["007", "01"]
    assert values(table["n"]).dtype == np.int8
    assert values(table["x"]).dtype == np.float32
    assert np.array_equal(values(table["flag"]), [1, np.nan], equal_nan=True)
    assert values(table["day"]).astype("datetime64[D]")[0] == np.datetime64("2024-02-29")
    assert values(table["at"]).dtype == np.dtype("datetime64[ms]")
    assert values(table.missing("at")).tolist() == [False, True]


def test_declared_truth_values_are_numbers_in_a_tensor(write: Write) -> None:
    path = write(b"paid,n\ntrue,1\nfalse,2\n,3\n")
    X = tp.load_csv(path, dtypes={"paid": bool, "n": int})
    assert np.array_equal(values(X), [[1, 1], [0, 2], [np.nan, 3]], equal_nan=True)
    (source,) = X.sources()
    assert np.array_equal(source.read(), values(X), equal_nan=True)


WRONG = {
    "int": (
        {"b": int},
        r"line 3 \(row 1\), column 'b': '2.5' is not a value of type int64; .*dtypes=",
    ),
    "int8": ({"c": np.int8}, r"line 2 \(row 0\), column 'c': '300' is not a value of type int8"),
    "bool": ({"c": bool}, r"column 'c': '300' is not a value of type bool"),
    "float": ({"a": float}, r"line 3 \(row 1\), column 'a': 'x' is not a number; declare another"),
    "date": ({"c": "datetime64[D]"}, r"'300' is not a value of type date32"),
    "no column": ({"d": int}, "has no column 'd'; it has a, b, c"),
    "twice": ({"a": int, 0: str}, "dtypes=.* must name each wanted column .* once"),
    "no type": ({"a": complex}, "dtypes= can't be <class 'complex'>: give str, bool"),
    "nonsense": ({"a": "number"}, "dtypes= can't be 'number'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_declared_types_that_do_not_fit(write: Write, case: str) -> None:
    dtypes, message = WRONG[case]
    path = write(b"a,b,c\n1,2,300\nx,2.5,4\n")
    with pytest.raises(SourceError, match=message):
        tp.read_csv(path, dtypes=dtypes)


def test_a_tensor_takes_no_text_or_dates(write: Write) -> None:
    path = write(b"a,b\n1,2\n")
    for dtype in (str, "datetime64[s]"):
        with pytest.raises(SourceError, match="load_csv gives numbers; load it with read_csv"):
            tp.load_csv(path, dtypes={"a": dtype})
    assert values(tp.load_csv(path, columns=["b"], dtypes={"a": str})).tolist() == [[2.0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"comment": ","}, "comment ',' can't be used"),
        ({"comment": "//"}, "comment '//' can't be used"),
        ({"comment": '"'}, "comment '\"' can't be used"),
        ({"skip_rows": -1}, "skip_rows=-1 can't be"),
        ({"skip_rows": "1"}, "skip_rows='1' can't be: give a whole number"),
        ({"delimiter": 9}, "delimiter=9 can't be: give text"),
        ({"encoding": None}, "encoding=None can't be: give the name"),
        ({"comment": 5}, "comment=5 can't be"),
        ({"dtypes": ["a"]}, r"dtypes=\['a'\] can't be: give a dict"),
        ({"missing": 0}, "missing=0 can't be: give a text or a list"),
        ({"missing": ["-", 9]}, r"missing=\['-', 9\] can't be"),
        ({"skip_rows": 9}, "is empty after skip_rows=9 lines"),
        ({"encoding": "gbk", "comment": "|"}, "does not extend ASCII"),
    ],
)
def test_options_that_cannot_be(write: Write, options: dict, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        tp.read_csv(write(b"a,b\n1,2\n"), **options)


@pytest.mark.parametrize("load", [tp.load_csv, tp.read_csv])
def test_an_option_that_there_is_not_is_refused_by_name(write: Write, load) -> None:
    with pytest.raises(TypeError, match=r"no option 'sep' of CSV files; there are .*delimiter"):
        load(write(b"a\n1\n"), sep=",")
