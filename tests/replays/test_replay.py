"""Pipelines on files run again, whole and without rows; what can't be is refused by name."""

from __future__ import annotations

import copy
import tracemalloc

import numpy as np
import pytest

import traceprop as tp
from tests.naive.replays import executed_anew, without_lines
from tests.replays.stored import ArrayFile, load
from traceprop.errors import LineageError, LineageWarning, RowError, SourceError
from traceprop.lineage import from_source, origins, values
from traceprop.replays.compare import same_bits


@pytest.fixture
def path(tmp_path):
    table = np.random.default_rng(0).normal(size=(200, 3))
    path = tmp_path / "table.csv"
    lines = [",".join(map(repr, row)) for row in table.tolist()]
    path.write_text("\n".join(["a,b,c", *lines, ""]))
    return path


def prepare(table):
    """Normalise, filter, write in place, sort; features and labels."""
    X = (table - table.mean(axis=0)) / table.std(axis=0)
    kept = X[X[:, 0] > np.median(X[:, 0]) - 1]
    kept[:, 1] *= 2
    kept = kept[np.argsort(kept[:, 2], kind="stable")]
    return kept, np.log1p(np.abs(kept)).sum(axis=1)


def test_a_replay_is_equal_to_the_bit_and_has_the_same_lineage(path):
    X, y = prepare(tp.load_csv(path))
    X2, y2 = tp.replay(X, y)
    for one, other in ((X, X2), (y, y2)):
        assert same_bits(values(one), values(other))
        assert one.node is other.node
        assert not np.shares_memory(values(one), values(other))
    assert isinstance(tp.replay(X), tp.ProvenanceTensor)


def test_without_rows_everything_is_computed_anew(path):
    X, y = prepare(tp.load_csv(path))
    gone = [0, 7, 8, 150, 199]
    found = tp.replay(X, y, without={"table.csv": gone})
    expected = executed_anew(prepare, tp.load_csv, {path: gone})
    for tensor, array in zip(found, expected, strict=True):
        assert same_bits(values(tensor), array)
    assert len(found[0]) == len(found[1])


def test_the_lineage_names_the_rows_of_the_file_as_it_is(path):
    X, y = prepare(tp.load_csv(path))
    gone = [0, 7, 8, 150, 199]
    X2, y2 = tp.replay(X, y, without={"table.csv": gone})
    shorter = tp.load_csv(without_lines(path, gone))
    expected, _ = prepare(shorter)
    numbers = np.delete(np.arange(200), gone)
    for mine, own in ((X2, expected), (y2, expected)):
        assert np.array_equal(origins(mine)[0].rows, numbers[origins(own)[0].rows])
    assert not set(gone) & set(X2.dependencies().all()["table.csv"])
    assert str(X2.ops()) == str(X.ops())
    assert X2.columns == X.columns
    row = int(origins(X2)[0].rows[0])
    assert str(X2[0].trace()).startswith(f"table.csv row {row} (line {row + 2})")


def test_a_replayed_tensor_is_replayed_again(path):
    X, _ = prepare(tp.load_csv(path))
    first = tp.replay(X, without={"table.csv": [3]})
    assert same_bits(values(tp.replay(first)), values(first))
    both = tp.replay(first, without={"table.csv": [11]})
    assert same_bits(values(both), values(tp.replay(X, without={"table.csv": [3, 11]})))


@pytest.mark.parametrize("way", ["source", "rows", "list", "forget set"])
def test_ways_to_name_rows(path, way):
    X, _ = prepare(tp.load_csv(path))
    source = X.ancestors().leaves[0]

    class ForgetSet:
        rows = {source: [3, 4]}  # noqa: RUF012

    without = {
        "source": {source: [3, 4]},
        "rows": source.rows([3, 4]),
        "list": [source.rows([3]), source.rows([4])],
        "forget set": ForgetSet(),
    }[way]
    expected = tp.replay(X, without={str(path): [3, 4]})
    assert same_bits(values(tp.replay(X, without=without)), values(expected))


def test_no_rows_is_the_whole(path):
    X, _ = prepare(tp.load_csv(path))
    assert tp.replay(X, without={"table.csv": []}).node is X.node


def test_rows_that_are_not_there(path):
    X, _ = prepare(tp.load_csv(path))
    with pytest.raises(LineageError, match=r"other\.csv is no source here: there is .*table"):
        tp.replay(X, without={"other.csv": [1]})
    with pytest.raises(RowError, match="no row 200"):
        tp.replay(X, without={"table.csv": [200]})
    with pytest.raises(LineageError, match="names no source"):
        tp.replay(X, without=[1, 2])
    with pytest.raises(LineageError, match="nothing to replay"):
        tp.replay()


def test_a_changed_file_is_refused(path):
    X, _ = prepare(tp.load_csv(path))
    path.write_text(path.read_text().replace("1", "2", 1))
    with pytest.raises(SourceError, match="changed since it was loaded"):
        tp.replay(X)
    path.unlink()
    with pytest.raises(SourceError):
        tp.replay(X)


def test_each_file_is_read_once(tmp_path, monkeypatch):
    (X,) = load(tmp_path, [np.arange(12.0).reshape(6, 2)])
    source = X.ancestors().leaves[0]
    parts = [from_source(values(X)[i : i + 2], source, rows=range(i, i + 2)) for i in (0, 2, 4)]
    whole = np.concatenate(parts) - np.concatenate(parts[::-1]).mean(axis=0)
    reads = []
    read = ArrayFile.read
    monkeypatch.setattr(ArrayFile, "read", lambda self, c=None: reads.append(self) or read(self))
    assert same_bits(values(tp.replay(whole)), values(whole))
    assert len(reads) == 1


def test_several_files_batches_and_parquet(tmp_path, path):
    import pyarrow as pa
    from pyarrow import parquet

    other = tmp_path / "other.csv"
    other.write_text("a,b,c\n1,2,3\n4,5,6\n-1,0,3\n")
    both = tp.load_csv([path, other])
    batches = np.concatenate(list(tp.load_csv(path, batch_rows=64)))
    parquet.write_table(pa.table({"a": np.arange(50.0), "b": np.ones(50)}), tmp_path / "t.parquet")
    columns = tp.load_parquet(tmp_path / "t.parquet")
    for tensor, without in (
        (both - both.mean(axis=0), {"table.csv": [5], "other.csv": [1]}),
        (batches - batches.mean(axis=0), {"table.csv": [0, 63, 64, 199]}),
        (columns - columns.mean(axis=0), {"t.parquet": [49]}),
    ):
        assert same_bits(values(tp.replay(tensor)), values(tensor))
        parts = []
        for name, rows in without.items():
            whole = tp.load_csv(tmp_path / name) if name.endswith("csv") else columns
            parts.append(np.delete(values(whole), rows, axis=0))
        expected = np.concatenate(parts)
        expected = expected - expected.mean(axis=0)
        assert same_bits(values(tp.replay(tensor, without=without)), expected)


def test_queries(tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "loans.db") as base:
        base.execute("create table loans (id integer primary key, income real, debt real)")
        rows = [(i, float(i * i % 17), 1.0 / (i + 1)) for i in range(30)]
        base.executemany("insert into loans values (?, ?, ?)", rows)
    base.close()
    query = "select id, income, debt from loans order by id"
    X = tp.load_sql(query, tmp_path / "loans.db", key="id")
    made = (X - X.mean(axis=0))[X[:, 1] > 2]
    assert same_bits(values(tp.replay(made)), values(made))
    plain = np.delete(values(X), [4, 20], axis=0)
    expected = (plain - plain.mean(axis=0))[plain[:, 1] > 2]
    source = X.ancestors().leaves[0]
    assert same_bits(values(tp.replay(made, without={source: [4, 20]})), expected)


def people(tmp_path, lines):
    path = tmp_path / "people.csv"
    path.write_text("name,age,town\n" + "".join(f"{line}\n" for line in lines))
    return path


PEOPLE = ["ann,31,Bern", "bob,,Rome", "cid,45,Bern", "dee,18,Oslo", "eve,60,Rome", "fay,22,Oslo"]


def test_tables(tmp_path):
    table = tp.read_csv(people(tmp_path, PEOPLE))
    filled = table.fill("age", np.nanmean(table["age"]))
    design = filled.sort("age").to_tensor(["age", "town"])
    assert same_bits(values(tp.replay(design)), values(design))
    found = tp.replay(design, without={"people.csv": [4]})
    shorter = tp.read_csv(people(tmp_path, [*PEOPLE[:4], PEOPLE[5]]))
    expected = shorter.fill("age", np.nanmean(shorter["age"])).sort("age")
    people(tmp_path, PEOPLE)
    assert same_bits(values(found), values(expected.to_tensor(["age", "town"])))
    assert found.columns == design.columns


def test_a_table_is_read_once(tmp_path, monkeypatch):
    from traceprop.sources.csv import source as csv_source

    table = tp.read_csv(people(tmp_path, PEOPLE))
    reads = []
    parse = csv_source.parse_csv
    monkeypatch.setattr(
        csv_source, "parse_csv", lambda *a, **kw: reads.append(a) or parse(*a, **kw)
    )
    tensors = tp.replay(*(table[name] for name in table), table.to_tensor(["age", "town"]))
    assert len(reads) == 1
    assert values(tensors[0]).tolist() == ["ann", "bob", "cid", "dee", "eve", "fay"]


def test_a_parquet_table_and_a_query_are_read_by_columns(tmp_path):
    import sqlite3

    import pyarrow as pa
    from pyarrow import parquet

    rows = {"town": ["Bern", "Rome", "Bern", "Rome"], "age": [3, 4, 5, 6]}
    parquet.write_table(pa.table(rows), tmp_path / "t.parquet")
    with sqlite3.connect(tmp_path / "t.db") as base:
        base.execute("create table t (town text, age integer)")
        base.executemany("insert into t values (?, ?)", list(zip(*rows.values(), strict=True)))
    base.close()
    query = "select town, age from t order by age"
    for table in (
        tp.read_parquet(tmp_path / "t.parquet"),
        tp.read_sql(query, tmp_path / "t.db"),
    ):
        design = table.to_tensor()
        assert same_bits(values(tp.replay(design)), values(design))
        found = tp.replay(design, without={table.source: [1]})
        assert same_bits(values(found), np.delete(values(design), 1, axis=0))


def test_a_text_that_only_the_removed_rows_have_is_refused(tmp_path):
    table = tp.read_csv(people(tmp_path, [*PEOPLE, "gus,30,Lima"]))
    with pytest.raises(LineageError, match=r"'town' of people\.csv has a text, or a gap, in no"):
        tp.replay(table.one_hot("town"), without={"people.csv": [6]})


def test_data_in_memory_must_be_given(tmp_path):
    data = np.arange(6.0)
    X = tp.array(data, name="weights") * 2
    with pytest.raises(SourceError, match=r"weights was in memory.*sources=\{'weights': array\}"):
        tp.replay(X)
    assert same_bits(values(tp.replay(X, sources={"weights": data})), data * 2)
    found = tp.replay(X, sources={"weights": data}, without={"weights": [0]})
    assert same_bits(values(found), data[1:] * 2)
    with pytest.raises(SourceError, match="not the one that was recorded"):
        tp.replay(X, sources={"weights": data + 1})


def test_a_saved_lineage_is_replayed(path, tmp_path):
    X, y = prepare(tp.load_csv(path) * np.array([1.0, 2.0, 4.0]))
    tp.save_lineage(tmp_path / "lineage.arrow", X, y)
    loaded = tp.load_lineage(tmp_path / "lineage.arrow")
    for found, expected in zip(tp.replay(loaded), (X, y), strict=True):
        assert same_bits(values(found), values(expected))
    gone = {"table.csv": [3, 77]}
    pairs = zip(tp.replay(loaded, without=gone), tp.replay(X, y, without=gone), strict=True)
    for found, expected in pairs:
        assert same_bits(values(found), values(expected))
        assert found.sources() == expected.sources()


def test_a_constant_that_changed_is_refused(path, tmp_path):
    X = tp.load_csv(path)
    weights = np.ones((200, 1000))
    made = X[:, :1] * weights
    assert same_bits(values(tp.replay(made)), values(made))
    weights[:] = 2
    with pytest.raises(LineageError, match="changed afterwards"):
        tp.replay(made)
    tp.save_lineage(tmp_path / "lineage.arrow", made)
    with pytest.raises(LineageError, match="isn't in the saved lineage"):
        tp.replay(tp.load_lineage(tmp_path / "lineage.arrow"))


def shuffled_in_place(X):
    index = np.arange(len(X))[::-1].copy().repeat(600)
    made = X[index]
    index[:] = 0
    return made


def written_halfway(X):
    with pytest.raises(ValueError, match="broadcast"):
        X[:2] = np.ones((5, 5))
    return X


def into_plain(X):
    sums = np.zeros(3)
    with pytest.warns():
        np.add.at(sums, np.array([0, 1, 2]), X[0])
    return sums + X[1]


def by_own_mask(X):
    X[X > 0] = X[X > 0]
    mask = X[:, 0] > 0
    mask[mask] = False
    return mask


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (lambda X: np.apply_along_axis(lambda row: row * 2, 1, X), "<lambda>, a function of yours"),
        (lambda X: np.frompyfunc(abs, 1, 1)(X), "abs .*no function of NumPy"),
        (shuffled_in_place, "changed afterwards"),
        (written_halfway, "a write raised an error halfway"),
        (into_plain, "what it held before isn't recorded"),
        (by_own_mask, "in an order that isn't recorded"),
    ],
)
def test_what_cannot_be_run_again_is_refused_by_name(path, program, reason):
    made = program(tp.load_csv(path))
    with pytest.raises(LineageError, match=f"can't be replayed: .*{reason}"):
        tp.replay(made)


def test_a_number_that_left_is_refused_only_without_rows(path, tmp_path):
    X = tp.load_csv(path)
    with pytest.warns(UserWarning, match="float"):
        made = X / float(X.std())
    assert same_bits(values(tp.replay(made)), values(made))
    tp.save_lineage(tmp_path / "lineage.arrow", made)
    for each in (made, tp.load_lineage(tmp_path / "lineage.arrow")):
        with pytest.raises(LineageError, match=r"through float at .*test_replay\.py"):
            tp.replay(each, without={"table.csv": [1]})


def test_a_tensor_that_was_written_behind_our_back_is_refused(path):
    X = tp.load_csv(path) * 2
    values(X, writable=True)[0, 0] = 5
    with pytest.raises(LineageError, match="not what the tensor holds"):
        tp.replay(X)


def test_a_difference_in_the_last_bit_is_reported(path, monkeypatch):
    X = tp.load_csv(path) * 2
    values(X, writable=True)[0, 0] *= 1 + 1e-15
    with pytest.warns(LineageWarning, match="differs from the recorded one by up to"):
        tp.replay(X)


def test_writes_through_views(path):
    X = tp.load_csv(path)
    column, block = X[:, 1], X[10:20].T
    column += 1
    block[0] = np.arange(10)
    X[X > 2] = 2
    np.copyto(column[::2], 7, where=column[::2] > 0)
    for tensor in (X, column, block):
        assert same_bits(values(tp.replay(tensor)), values(tensor))
    found = tp.replay(X, column)
    found[0][:] = 0
    assert same_bits(values(found[1]), values(column))


FIELDS = {
    "a field of two numbers": lambda record: record["c"],
    "the same by its number": lambda record: record[1],
    "several fields": lambda record: record[["b", "c"]]["c"],
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_write_into_a_field_of_a_record(tmp_path, field):
    (X,) = load(tmp_path, [np.arange(8.0).reshape(4, 2)])
    whole = np.zeros_like(X, dtype=[("b", "<f4"), ("c", "<f8", (2,))])
    part = FIELDS[field](whole[1][0])
    part[0] = X[3, 1]
    (source,) = X.ancestors().leaves
    for tensor in (whole, whole[1, 0]):
        assert [*tensor.sources()[source]] == [3]
    assert values(whole)["c"][1, 0, 0] == 7
    assert same_bits(values(tp.replay(whole)), values(whole))
    whole["c"] = X[0, 1]
    assert values(part).tolist() == [1, 1]
    assert 0 in part.sources()[source]
    assert same_bits(values(tp.replay(part)), values(part))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_broadcast_array_is_written(tmp_path, copied):
    (X,) = load(tmp_path, [np.arange(6.0).reshape(3, 2)])
    X2 = copied(np.broadcast_to(X, (2, 3, 2)))
    X2[1, 0] = -1
    X2.T[0] *= 3
    assert same_bits(values(tp.replay(X2)), values(X2))


def test_a_deep_lineage(tmp_path):
    (X,) = load(tmp_path, [np.arange(3.0)])
    made = X
    for _ in range(100_000):
        made = made + 1
    assert same_bits(values(tp.replay(made)), values(made))
    assert len(tp.replay(made, without={X.ancestors().leaves[0]: [1]})) == 2


def test_many_writes_copy_nothing(tmp_path):
    (X,) = load(tmp_path, [np.zeros(100_000)])
    made = X.copy()
    for i in range(2_000):
        made[i] = i
    tracemalloc.start()
    replayed = tp.replay(made)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert same_bits(values(replayed), values(made))
    assert peak < 5 * X.nbytes


def test_intermediate_arrays_are_freed(tmp_path):
    (X,) = load(tmp_path, [np.ones(200_000)])
    made = X
    for _ in range(30):
        made = np.sqrt(np.abs(np.cumsum(made)))
    tracemalloc.start()
    tp.replay(made)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 7 * X.nbytes  # the file's bytes, its array, and a step's input and output


def test_several_results_of_one_call(path):
    X = tp.load_csv(path)
    whole, fraction = np.divmod(X, 0.5)
    u, s, vt = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    halves = np.array_split(X, 3)
    tensors = (whole, fraction, u, s, vt, *halves)
    for found, expected in zip(tp.replay(*tensors), tensors, strict=True):
        assert same_bits(values(found), values(expected))


def test_a_type_that_values_decided_is_decided_anew(tmp_path):
    (X,) = load(tmp_path, [np.array([1.0, 4.0, -9.0])])
    roots = np.emath.sqrt(X)
    assert roots.dtype == np.complex128
    found = tp.replay(roots, without={X.ancestors().leaves[0]: [2]})
    assert values(found).tolist() == [1.0, 2.0]
    assert found.dtype == np.float64
    assert tp.apply(roots, [4.0]).tolist() == [2.0 + 0j]


def into_a_wider_one(table):
    """Write a row's values, and a mean's, into tensors that have more rows."""
    wide = table[table[:, 0] > -1] * 0
    np.multiply(table[1:2], 2, out=wide)
    square = table[:3] * 0
    np.subtract(table.mean(axis=0), 1, out=square)
    return wide, square


def test_what_was_written_into_a_wider_tensor_is_broadcast(path):
    results = into_a_wider_one(tp.load_csv(path))
    for tensor, replayed in zip(results, tp.replay(*results), strict=True):
        assert same_bits(values(tensor), values(replayed))
    gone = [0, 5, 20]
    found = tp.replay(*results, without={"table.csv": gone})
    expected = executed_anew(into_a_wider_one, tp.load_csv, {path: gone})
    for tensor, array in zip(found, expected, strict=True):
        assert same_bits(values(tensor), array)
    assert set(origins(results[0])[0].rows.tolist()) == {1}


@pytest.mark.filterwarnings("ignore::traceprop.errors.LineageEscapeWarning")
def test_what_was_written_into_a_wider_array_is_broadcast(path):
    table = tp.load_csv(path)
    made = np.add(table[2], table[3], out=np.zeros((4, 3)))
    assert same_bits(values(tp.replay(made)), values(made))
