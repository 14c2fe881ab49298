"""Requests that are answered later, as they are kept."""
