"""Loading with row identity beside pyarrow alone, and questions to a loaded file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

import traceprop as tp

_ROWS = 100_000


class Loading:
    """100,000 rows of 20 numbers."""

    params = ("pyarrow", "traceprop")
    param_names = ("library",)

    def setup(self, library: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        rng = np.random.default_rng(0)
        table = pa.table({f"x{j}": np.round(rng.normal(size=_ROWS), 6) for j in range(20)})
        self.csv = str(Path(self.folder.name) / "numbers.csv")
        self.parquet = str(Path(self.folder.name) / "numbers.parquet")
        pa.csv.write_csv(table, self.csv, pa.csv.WriteOptions(quoting_style="none"))
        pa.parquet.write_table(table, self.parquet)
        ours = library == "traceprop"
        self.load_csv = tp.load_csv if ours else pa.csv.read_csv
        self.load_parquet = tp.load_parquet if ours else pa.parquet.read_table

    def teardown(self, library: str) -> None:
        self.folder.cleanup()

    def time_csv(self, library: str) -> None:
        self.load_csv(self.csv)

    def time_parquet(self, library: str) -> None:
        self.load_parquet(self.parquet)


class Rows:
    """Questions to a file of 100,000 rows."""

    def setup(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "numbers.csv"
        path.write_text("a,b\n" + "".join(f"{i},{i * i}\n" for i in range(_ROWS)))
        self.trace = tp.load_csv(path)[_ROWS // 2].trace()
        (self.source,) = self.trace.rows

    def teardown(self) -> None:
        self.folder.cleanup()

    def time_locate_all(self) -> None:
        self.source.locate(range(_ROWS))

    def time_verify_one(self) -> None:
        self.trace.verify()

    def track_bytes_a_row(self) -> float:
        return self.source._index.nbytes / _ROWS
