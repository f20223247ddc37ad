"""How fast a store's rows are scanned, by format, and searched by codes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from traceprop.attribution.search.index import SearchIndex
from traceprop.attribution.search.question import ask
from traceprop.attribution.search.scan import scan
from traceprop.attribution.store.folder.formats import encode
from traceprop.attribution.store.rows.shards import Shard

_ROWS, _WIDTH = 5_000, 512


class Search:
    """The best 20 of 5,000 rows of 512 numbers, two threads."""

    params = (["float32", "float16", "int8"], [1, 16])
    param_names = ("dtype", "queries")

    def setup(self, dtype: str, queries: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        rng = np.random.default_rng(0)
        rows = rng.standard_normal((_ROWS, _WIDTH)) / np.arange(1, _WIDTH + 1)
        values, scales = encode(rows, np.arange(_ROWS), dtype)
        path = Path(self.folder.name) / "rows.bin"
        values.tofile(path)
        self.shards = [Shard(values, scales, np.arange(_ROWS), path, 0, 0, None)]
        self.question = ask(rng.standard_normal((queries, _WIDTH)), _WIDTH, 20)
        self.index = SearchIndex.of_rows(
            iter([self.shards[0].decoded()]), _ROWS, rows.T @ rows / _ROWS, threads=2
        )
        self.time_scan(dtype, queries)
        self.time_codes(dtype, queries)

    def teardown(self, dtype: str, queries: int) -> None:
        self.folder.cleanup()

    def time_scan(self, dtype: str, queries: int) -> None:
        scan(self.shards, self.question, 2)

    def time_codes(self, dtype: str, queries: int) -> None:
        self.index.search(self.shards, self.question, threads=2)
