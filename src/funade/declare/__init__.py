"""Declaring: what a user writes, and the graph that follows from it."""
