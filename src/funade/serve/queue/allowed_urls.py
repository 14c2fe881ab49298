"""Which URLs a callback may go to, and which addresses their names may lead to."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from funade.errors import ServeError

_PORTS = {"http": 80, "https": 443}
_LONGEST = 2000
_CARRIER = ipaddress.ip_network("100.64.0.0/10")


class Target(NamedTuple):
    """A URL taken apart: where to connect, and what to ask for there."""

    scheme: str
    host: str
    port: int
    path: str
    query: str = ""

    @property
    def authority(self) -> str:
        """The host as a request names it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def named(self) -> bool:
        """Whether the host is a name that has to be looked up; ``localhost`` says itself what it is."""
        return self.host != "localhost" and not _is_address(self.host)


def target(url: str) -> Target:
    """A URL taken apart.

    Raises:
        ValueError: it is none that a callback may have; says why.
    """
    if len(url) > _LONGEST or any(not "!" <= c <= "~" or c in '\\"<>^`{|}' for c in url):
        raise ValueError(f"a URL of at most {_LONGEST} plain characters")
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("a URL like https://hooks.example.com/done")
    if "@" in parts.netloc or "#" in url:
        raise ValueError("a URL without user, password or fragment")
    steps = parts.path.lower().split("/")
    if "." in steps or ".." in steps or any(hidden in parts.path.lower() for hidden in ("%2e", "%2f", "%5c", "%00")):
        raise ValueError("a URL whose path has no dots to climb by")
    return Target(parts.scheme, parts.hostname.rstrip("."), _port(parts), parts.path or "/", parts.query)


def prefixes(urls: Sequence[str]) -> tuple[Target, ...]:
    """The URLs that callbacks must begin with, taken apart.

    Raises:
        ServeError: one is no URL, or has a query.
    """
    targets = []
    for url in urls:
        try:
            targets.append(target(url))
            if targets[-1].query:
                raise ValueError("a URL without a query")
        except ValueError as error:
            raise ServeError(f"[queue] expected `callbacks` of {error}, got {url!r}") from None
    return tuple(targets)


def refusal(url: str, allowed: Sequence[Target]) -> str:
    """Why a callback may not go there; "" where it may."""
    try:
        asked = target(url)
    except ValueError as error:
        return f"header `funade-callback` expected {error}"
    if any(_begins(asked, prefix) for prefix in allowed):
        return ""
    return "header `funade-callback` expected a URL that [queue] callbacks allows, got another; ask who runs the server"


def may_reach(address: str, *, private: bool) -> bool:
    """Whether a name may lead to this address: to a public one, to a private one if told so, never to this machine."""
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip.is_reserved:
        return False
    return ip.is_global or (private and (ip.is_private or ip in _CARRIER))


def _begins(asked: Target, prefix: Target) -> bool:
    if asked[:3] != prefix[:3]:
        return False
    whole = prefix.path if prefix.path.endswith("/") else prefix.path + "/"
    return asked.path == prefix.path or asked.path.startswith(whole)


def _port(parts: SplitResult) -> int:
    try:
        return parts.port or _PORTS[parts.scheme]
    except ValueError:
        raise ValueError("a URL whose port is a number below 65536") from None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
