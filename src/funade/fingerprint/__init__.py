"""Which code a node reaches, and its digest."""
