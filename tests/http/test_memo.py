"""A memo answers as its function does, however many strings come and however long they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from seawall.http import dates, headers
from seawall.http.memo import Memo
from seawall.policy import control, packed


class Counted:
    """A function and the strings that it was asked for."""

    def __init__(self, of: Callable[[str], object]) -> None:
        self.of = of
        self.asked: list[str] = []

    def __call__(self, text: str) -> object:
        self.asked.append(text)
        return self.of(text)


@pytest.mark.parametrize("answer", [None, "", 5])
def test_what_recurs_is_asked_for_once(answer: object) -> None:
    counted = Counted(lambda _: answer)
    memo = Memo(counted)
    assert [memo["a"], memo["a"], memo["a"]] == [answer] * 3
    assert counted.asked == ["a"]


def test_what_is_too_long_is_answered_and_not_kept() -> None:
    counted = Counted(str.upper)
    memo = Memo(counted, longest=3)
    assert [memo["abc"], memo["abcd"], memo["abcd"]] == ["ABC", "ABCD", "ABCD"]
    assert counted.asked == ["abc", "abcd", "abcd"]
    assert list(memo) == ["abc"]


def test_it_never_holds_more_than_it_may() -> None:
    memo = Memo(str.upper, most=10)
    for number in range(1000):
        assert memo[f"a{number}"] == f"A{number}"
        assert len(memo) <= 10
    assert memo["a999"] == "A999"


def test_what_raises_is_not_kept() -> None:
    memo = Memo(int)
    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal"):
            memo["x"]
    assert not memo


@pytest.mark.parametrize(
    "memo",
    [dates._NAMED, headers._OPTIONS, control._ORDINARY, control._TARGETED, packed._LAYOUTS],
    ids=["dates", "connection options", "cache-control", "cdn-cache-control", "layouts"],
)
def test_no_memo_of_what_peers_say_grows_without_end(memo: Memo[object]) -> None:
    for number in range(3000):
        memo[f"x{number}" + "y" * (number % 700)]
    assert len(memo) <= 1024
    assert max(map(len, memo)) <= 512
