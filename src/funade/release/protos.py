"""The .proto files of a release's apis, or of the candidate's."""

from __future__ import annotations

from collections.abc import Sequence

from funade.contract import proto
from funade.contract.wire import wire
from funade.errors import CutIncomplete, Misuse, closest
from funade.store.ports.metadata import Metadata
from funade.store.records import Candidate


def protos(metadata: Metadata, apis: Sequence[str] = (), *, candidate: bool = False) -> dict[str, str]:
    """Path below a folder of .proto files → text, of these apis or of all.

    Raises:
        CutIncomplete: nothing is released (or staged).
        Misuse: there is no such api.
    """
    newest = _candidate(metadata) if candidate else _released(metadata)
    known = {spec.name: spec for spec in newest.specs if spec.kind == "api" and spec.contract is not None}
    texts = {}
    for api in apis or known:
        if api not in known:
            names = ", ".join(known)
            raise Misuse(f"export expected one of its apis ({names}), got `{api}`", do=closest(api, known))
        spec = known[api]
        assert spec.contract is not None
        # A release made before numbers were kept has those of its own order.
        made = wire(api, spec.contract, newest.wires.get(api), spec.module)
        texts[proto.path_of(made)] = proto.text_of(api, spec.contract, made)
    return texts


def _candidate(metadata: Metadata) -> Candidate:
    record = metadata.latest_candidate()
    if record is None:
        raise CutIncomplete("export expected a candidate, got none", do="run: funade stage")
    return record


def _released(metadata: Metadata) -> Candidate:
    release = metadata.current_release()
    record = metadata.candidate(release.candidate) if release else None
    if record is None:
        raise CutIncomplete("export expected a release, got none", do="run: funade release, or say --candidate")
    return record
