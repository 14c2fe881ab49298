"""Child processes: begun, told, heard, and their deaths told, one way."""
