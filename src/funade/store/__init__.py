"""What is kept: records of versions, releases and loads, and the bytes they name."""
