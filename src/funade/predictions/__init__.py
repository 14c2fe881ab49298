"""The prediction log: written by workers, compacted into segments, read as one table."""
