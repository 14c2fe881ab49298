"""Logged answers traced to what they were made from, and given again."""
