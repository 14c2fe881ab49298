"""A project's server: its settings, built from the configuration, and how it is started."""

from __future__ import annotations

from pathlib import Path

from funade.clock import Clock
from funade.declare.period import span
from funade.errors import DeclarationError, ProjectError
from funade.project.config import FILE, Config, QueueSection
from funade.serve.settings import ServerSettings
from funade.store.queue_rules import QueueRules
from funade.store.store import Store


def serve(config: Config, root: Path, store: Store, *, clock: Clock) -> None:
    """Serve the store's current release until SIGTERM or SIGINT, following every switch.

    Raises:
        ServeError: nothing is released, the port is taken, or the release does not come up.
    """
    from funade.serve.supervise import supervisor  # asyncio and what it needs: no other command does

    def current() -> tuple[int, int] | None:
        switch = store.metadata.current()
        return (switch.generation, switch.after) if switch else None

    supervisor.serve(settings(config, root, store), current, clock=clock)


def settings(config: Config, root: Path, store: Store) -> ServerSettings:
    """What the server is begun with.

    Raises:
        ProjectError: ``[queue]`` has a length of time that is none.
    """
    section = config.serve
    return ServerSettings(
        loader="funade.bind.release:load_release",
        argument={"store": store.address},
        host=section.host,
        port=section.port,
        workers=section.workers,
        drain_s=section.drain_s,
        folder=str(store.local / "serve"),
        hosts=section.hosts,
        store=store.address,
        log_days=config.log.days,
        grpc_port=section.grpc_port,
        queue=store.address,
        queue_rules=queue_rules(config.queue, root),
        certificate=_file(section.certificate, root),
        key=_file(section.key, root),
        tokens=str(tokens(config, root, store)),
        predict=section.predict,
    )


def tokens(config: Config, root: Path, store: Store) -> Path:
    """The file of tokens that the server asks for."""
    return root / config.serve.tokens if config.serve.tokens else store.local / "tokens.json"


def queue_rules(section: QueueSection, root: Path) -> QueueRules:
    """The bounds of the queue of asynchronous requests.

    Raises:
        ProjectError: a length of time is none.
    """
    return QueueRules(
        most=section.most,
        most_bytes=section.most_mb * 1024 * 1024,
        tries=section.tries,
        keep_s=_seconds("keep", section.keep, root),
        keep_dead_s=_seconds("keep_dead", section.keep_dead, root),
        callbacks=section.callbacks,
        private=section.private_callbacks,
    )


def _seconds(key: str, text: str, root: Path) -> float:
    try:
        return span(text).total_seconds()
    except DeclarationError:
        at = str(root / FILE)
        raise ProjectError(f"[queue] expected `{key}` like '1 day' or '12 hours', got {text!r}", at=at) from None


def _file(path: str, root: Path) -> str:
    return str(root / path) if path else ""
