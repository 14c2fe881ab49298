"""A project: its folder, its configuration, its graph and its store."""
