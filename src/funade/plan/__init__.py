"""Which version each node has under its present recipe, and why another one differs."""
