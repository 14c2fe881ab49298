"""Running a plan: each absent version made from its inputs, kept, and recorded with what it printed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import msgspec

from funade.build.context import BuildContext
from funade.errors import CheckFailed, NotBuilt
from funade.plan.plan import Plan, Step, unbuilt
from funade.store.naming import short
from funade.store.records import CheckRecord, Finding, Version


class Built(msgspec.Struct, frozen=True):
    """What became of one node: ``made`` is False when its version was there, or another process was first."""

    version: Version
    made: bool
    seconds: float
    findings: tuple[Finding, ...] = ()


def build(
    steps: Plan, targets: Sequence[str], context: BuildContext, *, attempts: Sequence[str] = ()
) -> Iterator[Built]:
    """Make what the targets need, in order; a version that is there is only checked.

    Raises:
        NotBuilt: a source they need was never loaded.
        BuildFailed: the user's function failed; what was made before stays.
        CheckFailed: a dataset's rows break its checks; nothing is made from it.
    """
    needed = context.graph.ancestors(targets)
    for name, step in steps.items():
        if name in needed and step.missing:
            raise NotBuilt(
                f"source `{step.missing}` expected a period loaded, got none",
                at=context.graph[step.missing].place,
                do=f"run: funade load {step.missing}",
            )
    for name, step in steps.items():
        if name in needed:
            yield _build(step, steps, context, attempt=name in attempts)


def _build(step: Step, steps: Plan, context: BuildContext, *, attempt: bool) -> Built:
    metadata = context.store.metadata
    earlier = metadata.version(step.version)
    if step.state in ("bound", "found") and step.spec.kind in ("api", "source"):
        version = earlier or metadata.add_version(unbuilt(step, metadata, context.now()))
        return Built(version, made=False, seconds=0.0)
    if earlier is not None:
        return Built(earlier, made=False, seconds=0.0, findings=checked(step, earlier, context))
    started = time.perf_counter()
    from funade.build.make import make  # NumPy and Arrow, only where something is made

    version, made = make(step, steps, context, attempt=attempt)
    return Built(version, made, time.perf_counter() - started, checked(step, version, context))


def checked(step: Step, version: Version, context: BuildContext) -> tuple[Finding, ...]:
    """The data checks of a dataset's version under its present policies: as recorded, or made now.

    Raises:
        CheckFailed: a check does not hold.
    """
    policies, digest = step.spec.checks, step.spec.checks_digest
    if step.spec.kind != "dataset" or not policies:
        return ()
    store = context.store
    done = store.metadata.checked(version.id, digest)
    if done is None:
        from funade.build.check import check  # DuckDB, only where a check was not made before
        from funade.store.warehouse import versions

        findings = check(versions.paths(version, store), policies, blobs=store.blobs, dataset=version.node)
        done = CheckRecord(version.id, digest, findings, context.now())
        store.metadata.add_checked(done)
    bad = next((f for f in done.findings if not f.holds), None)
    if bad is not None:
        name = short(version.node, version.id)
        raise CheckFailed(
            f"dataset `{version.node}` expected {bad.expected}, got {bad.got}",
            at=name,
            do=bad.do or (f"see them: funade show {name} --bad" if bad.bad_digest else ""),
            findings=done.findings,
        )
    return done.findings
