"""The switch: one compare-and-swap from that release to that candidate, or back to an earlier release."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from funade import points
from funade.clock import Clock
from funade.declare.policy import Golden
from funade.errors import CutIncomplete, Misuse, RollbackRefused
from funade.store import code_snapshot
from funade.store.records import Candidate, Release, Switch
from funade.store.store import Store

if TYPE_CHECKING:
    from funade.release.gate import GateReport


def release(store: Store, *, because: str, who: str, now: Clock) -> tuple[Release, GateReport | None]:
    """Gate the latest candidate against the current release and switch to it.

    Gives the release and what the gate found; the present release and None when it already is the candidate.

    Raises:
        CutIncomplete: nothing is staged.
        GateClosed: something does not hold and no ``because`` overrides it; ``findings`` has everything.
        Misuse: ``because`` is blank or has several lines.
        SwitchLost: release or candidate moved meanwhile; nothing changed.
    """
    _check_reason(because)
    metadata = store.metadata
    candidate = metadata.latest_candidate()
    if candidate is None:
        raise CutIncomplete("release expected a candidate, got none", do="run: funade stage")
    switch = metadata.current()
    current = metadata.current_release()
    if current is not None and _same(candidate, current, store):
        return current, None
    from funade.release import gate  # NumPy and Arrow, only where there is something to judge

    judged = gate.judge(candidate, current, store, now=now)
    points.passing("gate.done")
    gate.refuse(judged, candidate, current, because=because)
    numbered = Release(
        number=0,
        candidate=candidate.id,
        pins=candidate.pins,
        at=now(),
        who=who,
        golden=judged.golden,
        report=judged.findings,
        because=because,
    )
    made = metadata.release_and_switch(
        numbered,
        expected_generation=switch.generation if switch else 0,
        expected_candidate=candidate.id,
        ended_holds={n for n, hold in metadata.holds().items() if candidate.pins.get(n) == hold.version},
        who=who,
        because=because,
    )
    return cast(Release, metadata.release(made.after)), judged


def _same(candidate: Candidate, current: Release, store: Store) -> bool:
    """Whether nothing that answers or judges would change."""
    before = store.metadata.candidate(current.candidate)
    return before is not None and _effect(candidate, store) == _effect(before, store)


def _effect(candidate: Candidate, store: Store) -> list[object]:
    """All of a candidate that answers or judges: not the whole of its code, which comments change too."""
    files = code_snapshot.manifest(store.blobs, candidate.code)
    golden = {policy.file for spec in candidate.specs for policy in spec.policies if isinstance(policy, Golden)}
    return [
        candidate.pins,
        candidate.settings,
        candidate.timezone,
        [spec.policies for spec in candidate.specs],
        {name: files.get(name) for name in golden},
    ]


def _check_reason(because: str) -> None:
    """Refuse a reason that nobody could read in a list: one that is blank or has several lines; "" is none."""
    if because and (not because.strip() or because.splitlines() != [because]):
        raise Misuse(f"because expected a reason in one line, got {because!r}")


def rollback(store: Store, number: int | None, *, because: str, who: str) -> Switch:
    """Switch back to an earlier release: the one before the current, unless a number says which.

    Raises:
        Misuse: ``because`` is blank or has several lines.
        RollbackRefused: there is none, or it no longer loads or answers its golden rows as it did.
        SwitchLost: the release moved meanwhile; nothing changed.
    """
    _check_reason(because)
    switch = store.metadata.current()
    if switch is None:
        raise RollbackRefused("rollback expected a current release, got none", do="run: funade release")
    target = _target(store, switch, number)
    _rehearsed(target, store, because)
    return store.metadata.switch_to(target.number, expected_generation=switch.generation, who=who, because=because)


def _rehearsed(target: Release, store: Store, because: str) -> None:
    """Refuse a release that does not load, whatever the reason; one that answers otherwise unless there is a reason."""
    from funade.release.rehearsal import reproduce

    wrong = reproduce(target, store)
    if wrong is None:
        return
    if not wrong.loads:
        raise RollbackRefused(f"release {target.number} expected to load, got: {wrong.what}", do="run: funade fsck")
    if not because:
        raise RollbackRefused(
            f"release {target.number} expected to answer as it did: {wrong.what}", do='override with --because "reason"'
        )


def _target(store: Store, switch: Switch, number: int | None) -> Release:
    if number is None:
        # Back from a rollback means one further back, not forth again.
        earlier = [record for record in store.metadata.releases() if record.number < switch.after]
        if not earlier:
            raise _no_target(f"a release before {switch.after}, got none")
        return earlier[-1]
    record = store.metadata.release(number)
    if record is None:
        raise _no_target(f"a release, got {number}")
    if number == switch.after:
        raise _no_target(f"another release than the current one, got {number}")
    return record


def _no_target(expected: str) -> RollbackRefused:
    return RollbackRefused(f"rollback expected {expected}", do="see them: funade releases")
