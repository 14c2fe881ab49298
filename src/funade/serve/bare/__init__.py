"""A bare model file served without a project."""
