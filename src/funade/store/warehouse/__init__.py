"""Rows as Parquet: snapshots, versions and queries over them."""
