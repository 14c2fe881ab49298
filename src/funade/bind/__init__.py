"""A release's pins bound to its apis: the one binding that builds, the gate, servers and batch share."""
