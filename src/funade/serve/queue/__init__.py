"""The queue's door: requests submitted, consumed and called back."""
