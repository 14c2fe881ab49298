"""The local metadata store."""
