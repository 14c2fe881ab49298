"""How every node stands: newest, held, released; what is stale and exactly why."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from funade.plan.differences import differences, loaded_otherwise
from funade.plan.plan import Plan, Step, newest
from funade.store.records import Hold, Pins, Version
from funade.store.sqlite.metadata import Metadata


class Status(msgspec.Struct, frozen=True):
    """One node: the version its dependents look at and its state, the newest built, the one held, the one released.

    ``newest`` is that of the present recipe where it is built, an attempt only where nothing else was built. ``why``:
    what a stale node's newest version was made otherwise, what a held version has otherwise than the present recipe,
    which periods of a source were loaded otherwise, which checks a dataset's rows break. ``behind``: what the released
    version has otherwise than the present recipe.
    """

    node: str
    kind: str
    version: str
    state: str
    newest: str
    held: str
    released: str
    why: tuple[str, ...]
    behind: tuple[str, ...]


def status(
    steps: Plan, present: Plan, metadata: Metadata, *, holds: Mapping[str, Hold], released: Pins
) -> list[Status]:
    """How every node stands.

    Args:
        steps: the plan with the holds.
        present: the plan without them.
        metadata: what is built and loaded.
        holds: node → hold.
        released: the pins of the current release.
    """
    return [
        _status_of(step, present[name], metadata, held=holds[name].version if name in holds else "", released=released)
        for name, step in steps.items()
    ]


def _status_of(step: Step, present: Step, metadata: Metadata, *, held: str, released: Pins) -> Status:
    name = step.spec.name
    last = metadata.version(present.version) or newest(name, metadata)
    pin = released.get(name, "")
    live = metadata.version(pin) if pin else None
    return Status(
        node=name,
        kind=step.spec.kind,
        version=step.version,
        state=step.state,
        newest=last.id if last else "",
        held=held,
        released=pin,
        why=tuple(_why(step, present, last, metadata)),
        behind=tuple(differences(live, present)) if live and present.version else (),
    )


def _why(step: Step, present: Step, newest: Version | None, metadata: Metadata) -> list[str]:
    spec = step.spec
    if step.state == "held":
        held = metadata.version(step.version)
        return differences(held, present) if held and present.version else []
    if spec.kind == "dataset" and step.state == "found":
        done = metadata.checked(step.version, spec.checks_digest)
        return (
            [f"check fails: expected {f.expected}, got {f.got}" for f in done.findings if not f.holds] if done else []
        )
    if not step.version or (step.state == "found" and spec.kind != "source"):
        return []
    lines = differences(newest, step) if newest else []
    return lines + (loaded_otherwise(spec, metadata.revisions(spec.name)) if spec.kind == "source" else [])
