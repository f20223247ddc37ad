"""Goals of sources: what loading with row identity costs, and whether the rows named are right."""

from __future__ import annotations

import csv
import io
import os
import random
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

import traceprop as tp
from asv_bench.goals import Goal, at_least, at_most, exactly
from asv_bench.peers import run_peer
from asv_bench.timing import Comparison, median_interval, paired
from tests.conftest import SHARED_DATA
from tests.naive.edits import edited
from tests.naive.lines import UnclosedQuoteError, records
from tests.naive.row_matches import fates
from tests.naive.text_rows import unlike_their_text
from traceprop.sources.identity.row_index import Grammar, scan_rows
from traceprop.sources.inputs.files import digest

THREADS = f"{os.cpu_count()} cores, threads as the libraries choose (wall time)"

ROWS = 1_000_000
_TEXTS = 20_000
_PIECES = [b'"', b'""', b",", b"\n", b"\r", b"\r\n", b" ", b"a", b"12.5", b"\xc3\xa9", b"x" * 23]


def goals() -> Iterator[Goal]:
    with tempfile.TemporaryDirectory() as folder:
        yield from _loading(Path(folder))
        yield from _published(Path(folder))
        yield _scanner()
        yield _verification(Path(folder))


def _plain_numbers() -> pa.Table:
    """20 columns of normal numbers with six decimals: hardly two values alike."""
    rng = np.random.default_rng(0)
    return pa.table({f"x{j}": np.round(rng.normal(size=ROWS), 6) for j in range(20)})


def _loan_numbers() -> pa.Table:
    """20 columns as a lender's table has them: counts, ages, amounts in cents, rates."""
    rng = np.random.default_rng(1)
    table = {f"count{j}": rng.integers(0, 12 * (j + 1), ROWS) for j in range(5)}
    table |= {f"months{j}": rng.integers(0, 600, ROWS) for j in range(5)}
    table |= {f"amount{j}": np.round(rng.lognormal(7, 1, ROWS), 2) for j in range(5)}
    table |= {f"rate{j}": np.round(rng.beta(2, 20, ROWS), 4) for j in range(5)}
    return pa.table(table)


def _loading(folder: Path) -> Iterator[Goal]:
    path = str(folder / "numbers.csv")
    pa.csv.write_csv(_plain_numbers(), path, pa.csv.WriteOptions(quoting_style="none"))
    found = paired(
        lambda: tp.load_csv(path), lambda: pa.csv.read_csv(path), pairs=11, clock=time.perf_counter
    )
    yield _ratio("load_csv, 1M × 20: against pyarrow.csv.read_csv", found, 1.5)
    yield _against_the_published(path)
    (source,) = tp.load_csv(path).sources()
    yield at_most("row identity in memory, the same file", _identity_bytes(source), 10, " B a row")
    os.remove(path)

    for name, table in (("loans", _loan_numbers()), ("random", _plain_numbers())):
        path = str(folder / f"{name}.parquet")
        pa.parquet.write_table(table, path)
        what = {"loans": "counts, amounts, rates", "random": "random doubles"}[name]
        yield from _parquet(path, f"1M × 20 {what} ({os.path.getsize(path) / 1e6:.0f} MB)")
        os.remove(path)


def _parquet(path: str, what: str) -> Iterator[Goal]:
    """Both functions beside read_table: only read_parquet gives what that does, columns."""
    for name, load in (("read_parquet", tp.read_parquet), ("load_parquet", tp.load_parquet)):
        found = paired(
            lambda load=load: load(path),
            lambda: pa.parquet.read_table(path),
            pairs=21,
            clock=time.perf_counter,
        )
        share = _digest_seconds(path) / found.theirs
        note = f"; floor: the file's SHA-256, one thread, is {share:.2f} × read_table"
        note += ", which makes no matrix" if load is tp.load_parquet else ""
        yield _ratio(f"{name}, {what}: against read_table", found, 1.5, note)


def _digest_seconds(path: str) -> float:
    """Time of hashing a file's bytes once they are in memory: one thread, not to be shared."""
    data = np.fromfile(path, np.uint8)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        digest(data)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def _ratio(what: str, found: Comparison, limit: float, more: str = "") -> Goal:
    note = f"{found.interval}; {found.ours:.2f} s against {found.theirs:.2f} s{more}"
    return Goal(what, f"{found.ratio:.2f} ×", f"≤ {limit:g} ×", found.ratio <= limit, note)


def _identity_bytes(source: tp.sources.CsvSource) -> float:
    """Bytes a row of what names a row: its hash, line and byte offset."""
    assert source._index is not None
    return source._index.nbytes / source.n_rows


def _against_the_published(path: str) -> Goal:
    """Alternate with the peer, which loads the file once in each process."""
    ratios = []
    for _ in range(5):
        peer = run_peer("csv_loading.py", "traceprop-0.7.0", ["traceprop==0.7.0"], path)
        start = time.perf_counter()
        tp.load_csv(path)
        ratios.append(peer["seconds"] / (time.perf_counter() - start))
    median, low, high = median_interval(np.array(ratios))
    note = f"95 % [{low:.1f}, {high:.1f}], {len(ratios)} pairs"
    return at_least("load_csv: times as fast as traceprop 0.7.0's from_csv", median, 8, " ×", note)


def _published(folder: Path) -> Iterator[Goal]:
    """1,000 random rows each of two published files, traced to their line of text."""
    with zipfile.ZipFile(SHARED_DATA / "bank-additional.zip") as archive:
        bank = folder / "bank-additional-full.csv"
        bank.write_bytes(archive.read(f"bank-additional/{bank.name}"))
    adult = SHARED_DATA / "adult.data"
    for name, path, delimiter, options in (
        ("Adult", adult, ", ", {"header": False, "missing": "?"}),
        ("Bank Marketing", bank, ";", {}),
    ):
        table = tp.read_csv(path, delimiter=delimiter, **options)
        rows = np.random.default_rng(0).choice(len(table), 1000, replace=False)
        wrong = unlike_their_text(path, table, delimiter, rows)
        note = f"of 1,000 out of {len(table):,}, {len(table.columns)} columns"
        yield exactly(f"{name}: rows whose line of text is another", len(wrong), 0, note)


def _scanner() -> Goal:
    """The line scanner against csv.reader, which accepts a quote that never closes."""
    random_ = random.Random(0)
    different = compared = 0
    for _ in range(_TEXTS):
        data = b"".join(random_.choices(_PIECES, k=random_.randrange(60)))
        try:
            records(data)
        except UnclosedQuoteError:
            continue
        compared += 1
        reader = csv.reader(io.TextIOWrapper(io.BytesIO(data), encoding="latin-1", newline=""))
        expected, before = [], 0
        for fields in reader:
            if fields:
                expected.append(before + 1)
            before = reader.line_num
        index = scan_rows(np.frombuffer(bytearray(data), np.uint8), 0, 1, _COMMAS)
        different += index.locate(np.arange(index.n_rows))[0].tolist() != expected
    note = f"of {compared:,} random texts; {_TEXTS - compared:,} more leave a quote open: refused"
    return exactly("line scanner: files whose rows aren't csv.reader's", different, 0, note)


_COMMAS = Grammar(ord(","), ord('"'), skip_space=False)


def _verification(folder: Path) -> Goal:
    """`Trace.verify` on randomly edited files against plain Python over the rows' text."""
    random_ = random.Random(0)
    path = folder / "edited.csv"
    wrong = told = 0
    for _ in range(300):
        rows = [
            b"%d,7" % random_.randrange(random_.choice([3, 1000]))
            for _ in range(random_.randrange(1, 30))
        ]
        path.write_bytes(b"a,b\n" + b"\n".join(rows) + b"\n")
        trace = tp.load_csv(path).trace()
        new = edited(rows, random_.randrange(1, 8), random_) or [b"0,0"]
        path.write_bytes(b"a,b\n" + b"\n".join(new) + b"\n")
        if new == rows:
            continue
        found = [(verdict.state, verdict.now) for verdict in trace.verify()]
        expected = [tuple(fate) for fate in fates(rows, new)]
        wrong += sum(ours != theirs for ours, theirs in zip(found, expected, strict=True))
        told += len(found)
    note = f"of {told:,} rows of 300 files after random edits"
    return exactly("Trace.verify(): rows told otherwise than by plain Python", wrong, 0, note)
