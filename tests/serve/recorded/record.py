"""Records what a commit's server answers: run ``python -m serve.recorded.record`` in ``tests`` by its Python."""

from __future__ import annotations

import tempfile
from pathlib import Path

import grpc

from serve.recorded import ask_grpc, ask_http, ask_locked, ask_oip, ask_queue
from support.doors_project import released, served
from support.exchanges import Exchange, profile_of, replayed, write
from support.reflected import Reflected

HERE = Path(__file__).parent


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = released(Path(folder) / "project")
        with served(root) as server, grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            reflected = Reflected(channel)
        asked = catalogue(reflected)
        for name, exchanges in asked.items():
            assert len({exchange.name for exchange in exchanges}) == len(exchanges)
            with served(root, profile_of(name)) as server:
                write(HERE / f"{name}.json", replayed(exchanges, server))
            print(f"{name}: {len(exchanges)}")


def catalogue(reflected: Reflected) -> dict[str, list[Exchange]]:
    """File → what is asked of one server, in order."""
    return {
        "http": list(ask_http.exchanges()),
        "grpc": list(ask_grpc.exchanges(reflected)),
        "oip_http": list(ask_oip.over_http()),
        "oip_grpc": list(ask_oip.over_grpc(reflected)),
        "queue_http": list(ask_queue.over_http()),
        "queue_grpc": list(ask_queue.over_grpc(reflected)),
        "locked": list(ask_locked.exchanges(reflected)),
    }


if __name__ == "__main__":
    main()
