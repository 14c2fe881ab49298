"""Other people's machinery behind our ports."""
