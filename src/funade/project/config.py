"""``funade.toml``: what a project is called, where its modules and its store are, and what a profile changes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from funade.errors import ProjectError, closest

FILE = "funade.toml"


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class ProjectSection(_Section, frozen=True):
    """``[project]``: the project's name, the modules whose nodes make the graph, its time zone (IANA)."""

    name: str
    modules: tuple[str, ...]
    timezone: str = ""


class StoreSection(_Section, frozen=True):
    """``[store]``: the store's folder, relative to the project's, or a store's address."""

    path: str = ".funade"


class ServeSection(_Section, frozen=True):
    """``[serve]``: how the server listens.

    ``drain_s`` is how long a begun request may still take after a switch; ``hosts`` are names it answers for
    besides its own; ``grpc_port`` 0 opens no gRPC door; ``certificate`` and
    ``key`` are PEM files; ``tokens`` is the file of tokens, and ``predict`` says whether asking for answers needs
    one. ``peers`` are all servers of the store ("host:port"), for what is put before them.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8080
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] = 2
    drain_s: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    hosts: tuple[str, ...] = ()
    grpc_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    certificate: str = ""
    key: str = ""
    tokens: str = ""
    predict: Literal["open", "token"] = "open"
    peers: tuple[str, ...] = ()


class QueueSection(_Section, frozen=True):
    """``[queue]``: what the queue of asynchronous requests holds, how often it tries, whom it may call back.

    ``keep`` is how long answers are kept and ``keep_dead`` how long dead letters are; ``most`` requests may wait, and
    ``most_mb`` MiB are kept in all. ``callbacks`` are what callbacks' URLs must begin with; ``private_callbacks`` lets
    the names in them lead to private addresses.
    """

    keep: str = "1 day"
    keep_dead: str = "30 days"
    tries: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5
    most: Annotated[int, msgspec.Meta(ge=1)] = 100_000
    most_mb: Annotated[int, msgspec.Meta(ge=1)] = 4096
    callbacks: tuple[str, ...] = ()
    private_callbacks: bool = False


class LogSection(_Section, frozen=True):
    """``[log]``: ``days`` is how many days of answers are kept; 0 keeps them for ever."""

    days: Annotated[int, msgspec.Meta(ge=0)] = 0


class Profile(_Section, frozen=True):
    """``[profile.NAME]``: what one surrounding changes; never code nor settings."""

    places: dict[str, str] = {}
    store: StoreSection | None = None
    serve: ServeSection | None = None
    queue: QueueSection | None = None
    log: LogSection | None = None


class Config(_Section, frozen=True):
    """The whole file, a profile already laid over it."""

    project: ProjectSection
    store: StoreSection = StoreSection()
    places: dict[str, str] = {}
    settings: dict[str, dict[str, Any]] = {}
    serve: ServeSection = ServeSection()
    queue: QueueSection = QueueSection()
    log: LogSection = LogSection()
    profile: dict[str, Profile] = {}


def read(root: Path, profile: str = "") -> Config:
    """The configuration of the project in ``root``, with one profile laid over it.

    Raises:
        ProjectError: no file, no TOML, an unknown section or key, a value of another type, an unknown time zone
            or profile.
    """
    path = root / FILE
    try:
        config = msgspec.convert(msgspec.to_builtins(tomllib.loads(path.read_text("utf-8"))), Config)
    except FileNotFoundError:
        raise ProjectError(
            f"project expected {FILE}, got none", at=str(root), do='write one: [project] name = "…", modules = ["…"]'
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProjectError(f"{FILE} expected TOML, got: {error}", at=str(path)) from None
    except msgspec.ValidationError as error:
        raise _refusal(str(error), path) from None
    if config.project.timezone:
        _check_zone(config.project.timezone, path)
    if not profile:
        return config
    if profile not in config.profile:
        known = ", ".join(config.profile) or "none"
        raise ProjectError(
            f"project expected one of its profiles ({known}), got `{profile}`",
            at=str(path),
            do=closest(profile, config.profile) or f"add [profile.{profile}], or mend FUNADE_PROFILE",
        )
    chosen = config.profile[profile]
    return msgspec.structs.replace(
        config,
        places=config.places | chosen.places,
        store=chosen.store or config.store,
        serve=chosen.serve or config.serve,
        queue=chosen.queue or config.queue,
        log=chosen.log or config.log,
    )


def _refusal(problem: str, path: Path) -> ProjectError:
    """What msgspec says of a value, in the file's own words."""
    reason, _, place = problem.partition(" - at ")
    inside = place.strip("`$.").replace("[...]", ".NAME")
    section = f"[{inside}]" if inside else FILE
    field = re.fullmatch(r"Object (contains unknown|missing required) field `(.*)`", reason)
    if field is None:
        return ProjectError(f"{FILE} expected `{inside}` as {reason.removeprefix('Expected ')}", at=str(path))
    if field[1] == "missing required":
        return ProjectError(f"{section} expected `{field[2]}`, got none", at=str(path))
    known = _keys(inside)
    return ProjectError(
        f"{section} takes no key `{field[2]}` (its keys: {', '.join(known)})", at=str(path), do=closest(field[2], known)
    )


def _keys(inside: str) -> tuple[str, ...]:
    """The keys of the section that ``profile.NAME.store`` names."""
    section: Any = Config
    for part in inside.split(".") if inside else ():
        section = get_args(section)[1] if part == "NAME" else get_type_hints(section)[part]
    return tuple(getattr(section, "__struct_fields__", None) or get_args(section)[0].__struct_fields__)


def _check_zone(name: str, path: Path) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ProjectError(
            f"project expected an IANA time zone like 'Asia/Tokyo', got {name!r}", at=str(path)
        ) from None
