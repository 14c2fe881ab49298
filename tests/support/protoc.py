"""What ``.proto`` files of the package compile to: ``PYTHONPATH=tests python -m support.protoc`` writes it there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

import funade

FILES = sorted(Path(funade.__file__).parent.rglob("*.proto"))


def compiled(proto: Path) -> bytes:
    """A serialised ``FileDescriptorProto``, without names in JSON, which follow from the fields' own."""
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder, "set")
        assert protoc.main(["protoc", f"-I{proto.parent}", f"--descriptor_set_out={into}", str(proto)]) == 0
        (file,) = FileDescriptorSet.FromString(into.read_bytes()).file
    file.name = f"funade/{proto.name}"
    for message in _messages(file):
        for field in message.field:
            field.ClearField("json_name")
    return file.SerializeToString(deterministic=True)


def _messages(owner: FileDescriptorProto | DescriptorProto) -> Iterator[DescriptorProto]:
    for message in owner.message_type if isinstance(owner, FileDescriptorProto) else owner.nested_type:
        yield message
        yield from _messages(message)


if __name__ == "__main__":
    for path in FILES:
        path.with_suffix(".binpb").write_bytes(compiled(path))
