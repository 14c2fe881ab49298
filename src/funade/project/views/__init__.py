"""What is shown of a project, as data made from its records: one function a view.

``cli`` prints the views and ``--json`` dumps them; nothing in here knows how they look.
"""
