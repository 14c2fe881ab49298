"""A worker's frames: what is written is read, and what is torn hides nothing before it."""

from __future__ import annotations

import numpy as np
import pytest

from funade.predictions import wal

TIMES = np.array(["2022-03-01T12:00:00", "NaT"], dtype="datetime64[us]")
TEXTS = np.array(["é", None], dtype=object)


def framed(api: str, release: int, **columns: object) -> bytes:
    return b"".join(wal.framed(api, release, 2, {name: np.asarray(column) for name, column in columns.items()}))


ONE = framed("eta", 3, x=np.array([1.5, np.nan]), n=np.array([2**62, -1]), ok=np.array([True, False]))
TWO = framed("fare", 4, at=TIMES, text=TEXTS)


def test_frames_are_read_as_they_were_written() -> None:
    one, two = wal.frames(ONE + TWO)
    assert (one.header.api, one.header.release, one.header.rows) == ("eta", 3, 2)
    assert (two.header.api, two.header.release, two.end) == ("fare", 4, len(ONE + TWO))
    np.testing.assert_array_equal(one.columns["x"], [1.5, np.nan])
    assert one.columns["n"].tolist() == [2**62, -1] and one.columns["n"].dtype == np.int64
    assert one.columns["ok"].tolist() == [True, False]
    np.testing.assert_array_equal(two.columns["at"], TIMES)
    assert two.columns["text"].tolist() == ["é", None]


def test_columns_that_lie_side_by_side_are_read_in_the_order_asked_for() -> None:
    rows = [np.array(row, dtype="<i8").tobytes() for row in ([1, -2], [2**62, 4])]
    block = wal.PackedColumns(("a", "b"), "<i8", rows)
    floats = wal.PackedColumns(("c",), "<f8", [np.array([0.5, -0.0]).tobytes()])
    columns = {"number": np.arange(2, dtype="u1"), "text": TEXTS}
    (frame,) = wal.frames(b"".join(wal.framed("eta", 1, 2, columns, [block, floats], ["b", "text", "c", "a"])))
    assert {name: column.tolist() for name, column in frame.columns.items()} == {
        "number": [0, 1], "b": [-2, 4], "text": ["é", None], "c": [0.5, -0.0], "a": [1, 2**62]
    }  # fmt: skip
    assert [*frame.columns] == ["number", "b", "text", "c", "a"]


def test_reading_goes_on_where_it_ended() -> None:
    (first,) = wal.frames(ONE)
    assert [frame.header.api for frame in wal.frames((ONE + TWO)[first.end :])] == ["fare"]


@pytest.mark.parametrize("cut", range(1, len(TWO)))
def test_a_frame_torn_anywhere_is_not_read_and_the_one_before_it_is(cut: int) -> None:
    assert [frame.header.api for frame in wal.frames(ONE + TWO[:cut])] == ["eta"]


@pytest.mark.parametrize("place", range(0, len(TWO), 7))
def test_a_frame_with_a_changed_byte_is_not_read(place: int) -> None:
    changed = bytearray(TWO)
    changed[place] ^= 0x40
    assert [frame.header.api for frame in wal.frames(ONE + bytes(changed))] == ["eta"]


def test_a_frame_of_no_rows_is_one() -> None:
    (frame,) = wal.frames(b"".join(wal.framed("eta", 1, 0, {"x": np.empty(0), "s": np.empty(0, dtype=object)})))
    assert [len(column) for column in frame.columns.values()] == [0, 0]


def test_an_object_that_is_no_plain_value_is_kept_as_text() -> None:
    (frame,) = wal.frames(framed("eta", 1, x=np.array([2 + 1j, 1], dtype=object)))
    assert frame.columns["x"].tolist() == ["(2+1j)", 1]
