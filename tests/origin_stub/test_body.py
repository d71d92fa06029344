"""Bodies of which every byte is known."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from origin_stub.body import BLOCK_BYTES, body_bytes, body_key, iter_body

SIZES = st.one_of(st.integers(0, 300), st.integers(BLOCK_BYTES - 2, 3 * BLOCK_BYTES + 7))


@given(st.text(max_size=20), st.integers(1, 9), SIZES, st.data())
def test_any_range_in_any_pieces_is_that_range_of_the_whole(
    key: str, version: int, size: int, data: st.DataObject
) -> None:
    whole = body_bytes(key, version, size)
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, size))
    piece = data.draw(st.integers(max(1, (stop - start) // 50), BLOCK_BYTES * 2))
    pieces = list(iter_body(key, version, size, start=start, stop=stop, piece=piece))
    assert b"".join(pieces) == whole[start:stop]
    assert all(0 < len(one) <= piece for one in pieces)
    assert len(whole) == size


def test_the_same_body_is_the_same_in_every_process_and_release() -> None:
    # A checker elsewhere, or a cache directory of last week, must agree with us.
    assert body_bytes("/a", 1, 8).hex() == "7d47628ee5d4eb4e"


@pytest.mark.parametrize("other", [("/b", 1, 4096), ("/a", 2, 4096), ("/a\nen", 1, 4096), ("/a", 1, 4097)])
def test_bodies_of_another_key_version_or_size_differ_nearly_everywhere(other: tuple[str, int, int]) -> None:
    one, two = body_bytes("/a", 1, 4096), body_bytes(*other)
    assert sum(a == b for a, b in zip(one, two, strict=False)) < 4096 * 0.02


def test_no_two_blocks_of_a_body_agree() -> None:
    blocks = list(iter_body("/a", 1, 40 * BLOCK_BYTES))
    assert len(set(blocks)) == 40
    assert all(sum(a == b for a, b in zip(x, y, strict=True)) < BLOCK_BYTES * 0.02 for x, y in pairwise(blocks))


def test_the_end_of_a_terabyte_is_reached_at_once() -> None:
    size = 1 << 40
    (tail,) = iter_body("/a", 1, size, start=size - 10)
    assert len(tail) == 10


def test_the_key_tells_path_and_variant_apart() -> None:
    assert body_key("/a") == "/a"
    assert body_key("/a", "b") != body_key("/ab")


def test_a_piece_of_no_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        list(iter_body("/a", 1, 5, piece=0))
