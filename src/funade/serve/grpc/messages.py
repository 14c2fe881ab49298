"""Message classes, from the descriptor of the file that declares them."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass


def messages(file: bytes) -> dict[str, Any]:
    """The classes of a file's outermost messages by name, in a pool of their own.

    The file is a serialised ``FileDescriptorProto`` that imports no other.
    """
    pool: Any = DescriptorPool()
    types = pool.AddSerializedFile(file).message_types_by_name
    return {name: GetMessageClass(described) for name, described in types.items()}
