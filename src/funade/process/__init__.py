"""Child processes: one way to begin one, to exchange messages, to report an error and to tell how it ended."""
