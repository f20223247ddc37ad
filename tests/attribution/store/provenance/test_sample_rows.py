"""Sample ↔ source rows, both ways, against loops over plain lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.naive import store as naive
from traceprop.attribution.store.folder.files import StoreFolder
from traceprop.attribution.store.provenance.sample_rows import (
    SampleRows,
    locate_used,
    merge_origins,
    open_sample_rows,
    write_sample_rows,
)
from traceprop.errors import SourceError, StoreError, StoreWarning
from traceprop.lineage import Origin
from traceprop.lineage.source import Source

N_ROWS = 12
PerSample = list[list[int]]


class LinedSource(Source):
    """A source whose row r starts on line r + 2, at byte 10 r."""

    kind = "lined"

    def locate(self, rows):
        rows = np.asarray(rows, np.int64)
        return rows + 2, rows * 10


def _source(name: str = "a.csv", cls: type[Source] = LinedSource) -> Source:
    return cls(name, n_rows=N_ROWS, sha256="00" * 32)


def _origin(source: Source, per_sample: PerSample) -> Origin:
    indptr = np.cumsum([0, *map(len, per_sample)])
    return Origin(source, indptr, np.array([r for rows in per_sample for r in rows], np.int32))


def _saved(folder: Path, origins: list[Origin]) -> list[SampleRows]:
    store, merged = StoreFolder(folder), merge_origins(origins)
    entries = write_sample_rows(store, "run-1", merged, [locate_used(o) for o in merged])
    assert not any(store.damaged_chunks(entry) for entry in entries)
    return open_sample_rows(store, "run-1", len(merged))


per_sample = st.lists(
    st.lists(st.integers(0, N_ROWS - 1), max_size=4, unique=True).map(sorted), min_size=1
)
two_tensors = st.integers(1, 6).flatmap(
    lambda n: st.lists(
        st.tuples(
            st.sampled_from(["a.csv", "b.csv"]),
            st.lists(
                st.lists(st.integers(0, N_ROWS - 1), max_size=3, unique=True).map(sorted),
                min_size=n,
                max_size=n,
            ),
        ),
        min_size=1,
        max_size=4,
    )
)


@given(two_tensors, st.sets(st.integers(0, N_ROWS - 1)))
def test_both_directions_equal_the_loops(tmp_path_factory, given_origins, wanted):
    origins = [_origin(_source(name), rows) for name, rows in given_origins]
    opened = _saved(tmp_path_factory.mktemp("rows"), origins)
    names = list(dict.fromkeys(name for name, _ in given_origins))
    assert len(opened) == len(names)
    for sample in range(len(given_origins[0][1])):
        found = {n: o.of_sample(sample).tolist() for n, o in zip(names, opened, strict=True)}
        expected = naive.rows_of_sample(given_origins, sample)
        assert {name: rows for name, rows in found.items() if rows} == expected
    rows = np.array(sorted(wanted), np.int64)
    for name, own in zip(names, opened, strict=True):
        samples, unused = own.match(rows)
        assert samples.tolist() == naive.samples_of_rows(given_origins, name, wanted)
        trained = {r for n, per in given_origins if n == name for one in per for r in one}
        assert unused.tolist() == sorted(wanted - trained)


def test_lines_come_from_the_commit(tmp_path: Path):
    (rows,) = _saved(tmp_path, [_origin(_source(), [[3], [7, 9]])])
    lines, byte_offsets = rows.located(np.array([9, 3]))
    assert lines.tolist() == [11, 5]
    assert byte_offsets.tolist() == [90, 30]
    assert rows.located(np.array([3, 4])) is None
    assert rows.rows.dtype == np.int32


def test_a_source_without_lines(tmp_path: Path):
    (rows,) = _saved(tmp_path, [_origin(_source(cls=Source), [[3], [7, 9]])])
    assert rows.located(np.array([3])) is None


def test_a_file_that_changed_before_the_commit_keeps_no_lines(tmp_path: Path):
    class ChangedSource(Source):
        kind = "changed"

        def locate(self, rows):
            raise SourceError("a.csv changed since it was loaded")

    with pytest.warns(StoreWarning, match="Lines are not stored: a.csv changed"):
        (rows,) = _saved(tmp_path, [_origin(_source(cls=ChangedSource), [[3]])])
    assert rows.located(np.array([3])) is None
    assert rows.of_sample(0).tolist() == [3]


def test_reading_copies_nothing(tmp_path: Path):
    (rows,) = _saved(tmp_path, [_origin(_source(), [[3], [7, 9]])])
    assert not rows.rows.flags.owndata
    assert not rows.rows.flags.writeable


@pytest.mark.parametrize("name", ["sample_rows.arrow", "source_rows-0.arrow"])
@pytest.mark.parametrize("content", [None, b"", b"ARROW1 junk"])
def test_a_lost_or_damaged_file_is_a_clear_error(tmp_path: Path, name: str, content: bytes | None):
    _saved(tmp_path, [_origin(_source(), [[3]])])
    (tmp_path / "run-1" / name).unlink()
    if content is not None:
        (tmp_path / "run-1" / name).write_bytes(content)
    with pytest.raises(StoreError, match=r"provenance in .* can't be read"):
        open_sample_rows(StoreFolder(tmp_path), "run-1", 1)
