"""What tests of a project can use: a store that is kept in memory."""

from funade.testing.store import memory_store

__all__ = ["memory_store"]
