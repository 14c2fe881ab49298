"""One release answered over HTTP by worker processes that a supervisor watches."""
