"""A client in Node, with nothing but what Node brings."""

from __future__ import annotations

import json

from support import stock
from support.server import Running


def test_node_asks_for_one_for_many_wrongly_and_on_one_connection(server: Running) -> None:
    heard = json.loads(stock.node("node.mjs", server.port))
    assert (heard["one"]["status"], heard["one"]["body"]["eta"], heard["one"]["prediction"]) == (200, 3.0, True)
    assert [row["eta"] for row in heard["many"]["body"]] == [2.0, 4.0]
    assert heard["wrong"] == {
        "status": 422,
        "prediction": False,
        "body": {"error": "request expected `float`, got `str`", "path": "$[1].km"},
    }
    assert heard["connections"] == 1
