"""The contract of an api at run time: requests read, answers checked, documents written."""
