"""Sources: where rows come from, and how they are still named years later."""

from __future__ import annotations

from traceprop.sources.csv import load_csv, read_csv
from traceprop.sources.csv_source import CsvSource
from traceprop.sources.parquet import load_parquet, read_parquet
from traceprop.sources.parquet_source import ParquetSource
from traceprop.sources.remote import allow_remote
from traceprop.sources.sql import load_sql, read_sql
from traceprop.sources.sql_source import SqlSource
from traceprop.sources.table import Table

__all__ = [
    "CsvSource",
    "ParquetSource",
    "SqlSource",
    "Table",
    "allow_remote",
    "load_csv",
    "load_parquet",
    "load_sql",
    "read_csv",
    "read_parquet",
    "read_sql",
]
