"""Compares a described file with tritonclient's own: ``triton_wire.py FILE`` fails where a message differs on the wire.

Run by the clients' own Python.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from tritonclient.grpc import service_pb2


def fields(message: Any) -> dict[str, Any]:
    """What of a message matters on the wire and to its readers."""
    found = {f.name: (f.number, f.label, f.type, f.type_name, f.HasField("oneof_index")) for f in message.field}
    nested = {m.name: (m.options.map_entry, fields(m)) for m in message.nested_type}
    return {"fields": found, "nested": nested}


def main(path: str) -> None:
    """Compare."""
    ours = FileDescriptorProto.FromString(Path(path).read_bytes())
    theirs = FileDescriptorProto.FromString(service_pb2.DESCRIPTOR.serialized_pb)
    known = {message.name: message for message in theirs.message_type}
    assert ours.package == theirs.package
    for message in ours.message_type:
        assert fields(message) == fields(known[message.name]), message.name
    methods = {m.name: (m.input_type, m.output_type) for m in theirs.service[0].method}
    assert ours.service[0].name == theirs.service[0].name
    for method in ours.service[0].method:
        assert methods[method.name] == (method.input_type, method.output_type)
    print(len(ours.message_type), len(ours.service[0].method))


if __name__ == "__main__":
    main(*sys.argv[1:])
