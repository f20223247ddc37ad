"""Mutated Parquet files: read whole or refused by name, never a crash and never a wrong row."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import traceprop as tp
from traceprop.errors import SourceError


def content(path: Path) -> bytes:
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
    pq.write_table(table, path, row_group_size=60, write_page_checksum=True)
    return path.read_bytes()


@pytest.mark.parametrize("seed", [0, 1, 101, 147])
def test_a_mutated_file_is_read_as_it_was_or_refused(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "t.parquet"
    original = content(path)
    expected = tp.read_parquet(path).source.row_hashes
    random_ = random.Random(seed)
    refusals = []
    for _ in range(60):
        data = bytearray(original)
        for _ in range(random_.randint(1, 3)):
            at = random_.randrange(len(data))
            new = random_.randbytes(random_.choice([1, 1, 1, 4]))
            data[at : at + random_.choice([len(new)] * 5 + [0])] = new
        path.write_bytes(data)
        try:
            source = tp.read_parquet(path).source
        except SourceError as refusal:
            refusals.append(str(refusal))
            continue
        if source.columns == ("n", "x", "few", "text") and source.n_rows == 200:
            assert np.array_equal(source.row_hashes, expected)
    assert len(refusals) > 20
    assert all("t.parquet" in refusal for refusal in refusals)
