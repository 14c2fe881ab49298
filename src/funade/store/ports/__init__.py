"""What a store must do, whatever keeps it: the four ports behind which engines stand.

One suite of tests a port (``tests/store/contract``) shows what is said here of every implementation. Whatever a
method returns or raises, a method that changes something has then done all of it, for good, or nothing. Any method may
raise ``StoreError``: the engine cannot be reached, read or written (``DiskFull``: it has no room). All may be called
from many threads and, where the address can be opened by another process, from many processes at once.
"""
