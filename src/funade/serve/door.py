"""One way into a worker."""

from __future__ import annotations

from typing import Protocol


class Door(Protocol):
    """A way in; every method is called on the loop's thread."""

    def start(self) -> None:
        """Accept from now on."""

    def retire(self) -> None:
        """A newer release answers now: accept no more, hand over what can be, finish what is begun; called often."""

    def shut(self) -> None:
        """The server stops: accept no more, finish what is begun; called often."""

    def cut(self) -> None:
        """The time to finish is over: end what is left."""

    def tick(self) -> None:
        """About a second went by."""

    @property
    def empty(self) -> bool:
        """Whether nothing is left to finish."""
