"""The descriptors that are kept beside the package's ``.proto`` files."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import protoc


@pytest.mark.parametrize("proto", protoc.FILES, ids=lambda path: path.name)
def test_a_kept_descriptor_is_what_its_proto_file_compiles_to(proto: Path) -> None:
    assert proto.with_suffix(".binpb").read_bytes() == protoc.compiled(proto)


def test_both_files_are_there() -> None:
    assert [path.name for path in protoc.FILES] == ["open_inference.proto", "queue.proto"]
