"""The supervisor: generations of workers, begun, switched and ended."""
