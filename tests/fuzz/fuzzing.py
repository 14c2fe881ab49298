"""Inputs mutated from a corpus, those kept that make what is fed behave as nothing before them did."""

from __future__ import annotations

import faulthandler
import random
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

Feed = Callable[[bytes, random.Random], Hashable]
"""Takes an input in and gives how it behaved; raises where it behaved wrongly."""

Mutate = Callable[[Sequence[bytes], random.Random], bytes]
"""A fresh input made of known ones."""

_ROUND = 10_000
_LONGEST_S = 2.0


class Target(NamedTuple):
    """What is fed; ``share`` says how often beside the others. Its corpus is ``<name>-<number>.bin``."""

    feed: Feed
    mutate: Mutate
    share: int = 1


Opened = Callable[[], AbstractContextManager[Mapping[str, Target]]]
"""Makes targets afresh; what they hold is let go when the context ends."""


class Tried(NamedTuple):
    """An input, and how the target of that name behaved."""

    name: str
    data: bytes
    kind: Hashable


def cut(data: bytes, rng: random.Random) -> list[bytes]:
    """The data in a few pieces; none is empty."""
    cuts = sorted(rng.randrange(1, len(data)) for _ in range(rng.choice((0, 0, 1, 2, 6)))) if len(data) > 1 else []
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if b > a]


def mutated(words: Sequence[bytes], known: Sequence[bytes], rng: random.Random, most: int = 6000) -> bytes:
    """One of the known inputs with bytes changed, left out, repeated or put in; at most ``most`` bytes."""
    data = bytearray(rng.choice(known))
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0:
                data[at:at] = rng.choice(words)
            case 1:
                del data[at : at + rng.choice((1, 2, 8, 40))]
            case 2:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 3:
                data[at:at] = rng.choice(known)
            case 4:
                start = rng.randrange(len(data) + 1)
                data[at:at] = data[start : start + rng.choice((4, 30, 200))]
            case _:
                data[at : at + rng.choice((1, 4, 12))] = rng.choice(words)
    return bytes(data[:most])


def corpus(folder: Path, name: str = "") -> list[bytes]:
    """The inputs of one target, in order."""
    return [path.read_bytes() for path in _files(folder, name)]


def _files(folder: Path, name: str) -> list[Path]:
    return sorted(folder.glob(f"{name}-*.bin" if name else "*.bin"))


def tried(folder: Path, opened: Opened, seconds: float, seed: int) -> Iterator[Tried]:
    """Inputs and how they behaved, for so much processor time; ends early, with a note, where one behaves wrongly."""
    rng = random.Random(seed)
    known: dict[str, list[bytes]] = {}
    seen = set[tuple[str, Hashable]]()
    ends = time.process_time() + seconds
    while time.process_time() < ends:
        with opened() as targets:
            names = [name for name, target in targets.items() for _ in range(target.share)]
            for _ in range(_ROUND):
                name = rng.choice(names)
                if name not in known:
                    known[name] = corpus(folder, name)
                inputs = known[name]
                data = targets[name].mutate(inputs, rng)
                kind = fed(name, targets[name], data, rng)
                if (name, kind) not in seen:
                    seen.add((name, kind))
                    inputs.append(data)
                yield Tried(name, data, kind)
                if time.process_time() > ends:
                    return


def fed(name: str, target: Target, data: bytes, rng: random.Random) -> Hashable:
    """How the target behaves; an error names the input. No input may take long."""
    began = time.process_time()
    try:
        kind = target.feed(data, rng)
        assert time.process_time() - began < _LONGEST_S, "took too long"
    except BaseException as error:
        error.add_note(f"input of `{name}`: {data!r}")
        raise
    return kind


def replayed(folder: Path, opened: Opened) -> set[tuple[str, Hashable]]:
    """The ways to behave of the corpus."""
    with opened() as targets:
        return {
            (name, fed(name, target, data, random.Random(0)))
            for name, target in targets.items()
            for data in corpus(folder, name)
        }


def main(folder: Path, opened: Opened, seconds: float, seed: int) -> None:
    """Try inputs, add to the corpus what behaves as nothing in it does, and print how many were tried."""
    faulthandler.dump_traceback_later(seconds * 4 + 60, exit=True)  # an input that never ends
    print(f"seed {seed}", flush=True)
    kept, count = replayed(folder, opened), 0
    for name, data, kind in tried(folder, opened, seconds, seed):
        count += 1
        if (name, kind) not in kept:
            kept.add((name, kind))
            number = len(_files(folder, name))
            (folder / (f"{name}-{number:03}.bin" if name else f"{number:03}.bin")).write_bytes(data)
    print(f"{count} inputs, seed {seed}, {len(kept)} ways to behave")
