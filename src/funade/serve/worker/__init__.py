"""One worker process: it hosts one release."""
