"""What a server counts, and the file its workers share."""
