"""A candidate or release in a process of its own, beside this one: started, asked, ended."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from funade.process.child import Child, ChildFailed, Ready, Surroundings
from funade.process.error_report import ErrorReport
from funade.release.host_process import HostSettings, Request
from funade.store.records import Candidate
from funade.store.store import Store

R = TypeVar("R", bound=msgspec.Struct)

PATIENCE_S = 120.0
"""How long one answer may take."""


class HostProcess:
    """A process that hosts one candidate of a store on its own code; requests are answered in order.

    It works in ``folder``, which is made here. An answer counts as none after ``patience_s`` seconds.
    """

    def __init__(self, store: Store, candidate: Candidate, folder: Path, *, golden: tuple[str, ...] = ()) -> None:
        folder.mkdir(parents=True)
        self.patience_s = PATIENCE_S
        settings = HostSettings(store.address, candidate, golden)
        self._child = Child("funade.release.host_process", settings, Surroundings(folder=folder, keeps_errors=True))

    def __enter__(self) -> HostProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close()

    def loaded(self) -> ErrorReport | None:
        """Why it could not be loaded; None when it could."""
        try:
            self._child.hear(Ready, self.patience_s)
        except ChildFailed as failed:
            return failed.report
        return None

    def ask(self, request: Request) -> None:
        """Ask something; the answer is waited for by ``answer``."""
        self._child.send(request)

    def answer(self, kind: type[R]) -> R:
        """The answer to the first request that was not answered yet.

        Raises:
            ChildFailed: there is none.
        """
        return self._child.hear(kind, self.patience_s)
