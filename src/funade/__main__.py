"""``python -m funade`` is ``funade``."""

from funade.cli import main

main()
