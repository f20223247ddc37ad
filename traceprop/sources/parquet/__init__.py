"""Parquet files: values and row groups, whole or in batches."""
