"""Mutated Parquet files: read whole or refused by name, never a crash and never a wrong row."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import traceprop as tp
from traceprop.errors import SourceError
from traceprop.lineage import values


def content(path: Path, *, checksums: bool = True) -> bytes:
    rng = np.random.default_rng(0)
    table = pa.table(
        {
            "n": np.arange(200),
            "x": rng.normal(size=200),
            "few": rng.integers(0, 3, 200).astype(np.int16),
            "text": [None if i % 7 == 0 else f"t{i % 11}" for i in range(200)],
        }
    )
    # Checksums of pages are what tells that a value's bytes are not those that were written.
    pq.write_table(table, path, row_group_size=60, write_page_checksum=checksums)
    return path.read_bytes()


def mutated(original: bytes, random_: random.Random) -> bytearray:
    """One to three changes: bytes overwritten, or put in."""
    data = bytearray(original)
    for _ in range(random_.randint(1, 3)):
        at = random_.randrange(len(data))
        new = random_.randbytes(random_.choice([1, 1, 1, 4]))
        data[at : at + random_.choice([len(new)] * 5 + [0])] = new
    return data


def outcome(read: Callable[[], Any]) -> tuple[Any, ...]:
    """Hashes and numbers of what is read, or that it is refused by name; nothing else may be."""
    try:
        found = read()
    except SourceError as refusal:
        return "refused", "t.parquet" in str(refusal)
    parts = found if isinstance(found, list) else [found]
    if isinstance(parts[0], tp.Table):
        return "read", parts[0].source.row_hashes.tolist()
    (source,) = parts[0].sources()
    numbers = np.concatenate([values(part) for part in parts])
    return "read", source.row_hashes.tolist(), numbers.tobytes()


@pytest.mark.parametrize("seed", range(3))
def test_every_door_tells_the_same_of_a_mutated_file(tmp_path: Path, seed: int) -> None:
    """Without checksums damaged values come through: but alike, and never as a crash."""
    path = tmp_path / "t.parquet"
    original = content(path, checksums=False)
    random_ = random.Random(seed)
    read = 0
    for _ in range(80):
        path.write_bytes(mutated(original, random_))
        for load, columns in ((tp.read_parquet, None), (tp.load_parquet, ["n", "x", "few"])):
            whole = outcome(lambda load=load, columns=columns: load(path, columns))
            batches = outcome(
                lambda load=load, columns=columns: list(load(path, columns, batch_rows=64))
            )
            assert whole == batches
            assert whole != ("refused", False)
            read += whole[0] == "read"
    assert read > 20


@pytest.mark.parametrize("seed", [0, 1, 101, 147])
def test_a_mutated_file_is_read_as_it_was_or_refused(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "t.parquet"
    original = content(path)
    expected = tp.read_parquet(path).source.row_hashes
    random_ = random.Random(seed)
    refusals = []
    for _ in range(60):
        path.write_bytes(mutated(original, random_))
        try:
            source = tp.read_parquet(path).source
        except SourceError as refusal:
            refusals.append(str(refusal))
            continue
        if source.columns == ("n", "x", "few", "text") and source.n_rows == 200:
            assert np.array_equal(source.row_hashes, expected)
    assert len(refusals) > 20
    assert all("t.parquet" in refusal for refusal in refusals)
