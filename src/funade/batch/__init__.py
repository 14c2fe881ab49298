"""Batch: an api's answers for every row of a table, as a table."""
