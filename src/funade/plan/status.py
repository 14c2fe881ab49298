"""How every node stands: newest, held, released; what is stale and exactly why."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from funade.plan.differences import differences, loaded_otherwise
from funade.plan.plan import Plan, Step, newest
from funade.store.ports.metadata import Metadata
from funade.store.records import Hold, Pins, Version


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

    @property
    def standing(self) -> str:
        """How it stands in a word or two: ``present``, ``held``, ``stale``, ``not built`` or ``not loaded``."""
        if self.kind in ("api", "source"):
            return "present" if self.version else "not loaded"
        if self.state == "absent":
            return "stale" if self.newest else "not built"
        return "held" if self.state == "held" else "present"

    @property
    def released_otherwise(self) -> tuple[str, ...]:
        """What the released version has otherwise than the present recipe, where ``why`` does not say just that."""
        return self.behind if self.released and self.behind != self.why else ()


def status(
    steps: Plan, present: Plan, metadata: Metadata, *, holds: Mapping[str, Hold], released: Pins
) -> list[Status]:
    """How every node stands: ``steps`` is the plan with the holds, ``present`` the one without them."""
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
        record = metadata.checked(step.version, spec.checks_digest)
        findings = record.findings if record else ()
        return [f"check fails: expected {f.expected}, got {f.got}" for f in findings if not f.holds]
    if not step.version or (step.state == "found" and spec.kind != "source"):
        return []
    lines = differences(newest, step) if newest else []
    return lines + (loaded_otherwise(spec, metadata.revisions(spec.name)) if spec.kind == "source" else [])
