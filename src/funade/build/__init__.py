"""Building: which versions are needed, and making them."""
