"""What is asked for most is known in bounded memory, and what was asked for long ago gives way."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.engine.engine import Engine
from seawall.engine.popular import Popular
from seawall.engine.popularity import MEAN_KEY_BYTES, Popularity
from seawall.engine.route import Route
from seawall.http.message import RequestHead
from seawall.policy.rules import KeyRules, Rules
from seawall.purge.selection import Selection
from seawall.store.levels import Levels
from tests.engine.scripted import Asked, Stage


def test_the_most_asked_come_first_and_the_newer_of_equals() -> None:
    popularity = Popularity(10)
    for key in "abacabde":
        popularity.note(key)
    assert popularity.top(3) == [("a", 3), ("b", 2), ("e", 1)]
    assert popularity.top(10) == [("a", 3), ("b", 2), ("e", 1), ("d", 1), ("c", 1)]
    assert popularity.top(2, lambda key: key in "cde") == [("e", 1), ("d", 1)]
    assert popularity.top(0) == []
    popularity.check()


@given(st.lists(st.integers(0, 40), max_size=400), st.integers(1, 8))
def test_a_count_is_never_too_high_and_little_too_low(asked: list[int], capacity: int) -> None:
    popularity, exact = Popularity(capacity, half_life=None), Counter(map(str, asked))
    for number in asked:
        popularity.note(str(number))
        popularity.check()
    counts = dict(popularity.top(len(popularity)))
    for key, hits in exact.items():
        assert hits - len(asked) / capacity <= counts.get(key, 0) <= hits


def test_favourites_survive_a_flood_of_urls_that_nobody_asks_for_twice() -> None:
    popularity = Popularity(100)
    for number in range(20_000):
        popularity.note(f"http://a.example/?{number}")
        if number % 50 == 0:
            for favourite in range(10):
                popularity.note(f"http://a.example/favourite/{favourite}")
    assert {key for key, _ in popularity.top(10)} == {f"http://a.example/favourite/{number}" for number in range(10)}
    assert len(popularity) <= 200


def test_yesterday_gives_way_to_today() -> None:
    popularity = Popularity(100)
    for _ in range(900):
        popularity.note("yesterday")
    for _ in range(600):
        popularity.note("today")
    assert [key for key, _ in popularity.top(2)] == ["today", "yesterday"]


def test_without_a_half_life_nothing_is_forgotten() -> None:
    popularity = Popularity(2, half_life=None)
    for _ in range(100):
        popularity.note("a")
    assert popularity.top(1) == [("a", 100)]


def test_long_keys_take_no_more_room_than_usual_ones() -> None:
    popularity = Popularity(100)
    popularity.note("http://a.example/")
    for number in range(2000):
        popularity.note(f"http://a.example/{number}/" + 1000 * "x")
        popularity.note("http://a.example/")
        popularity.check()
    popularity.note(100 * MEAN_KEY_BYTES * "x")
    popularity.check()
    assert popularity.top(1)[0][0] == "http://a.example/"


def test_repr_tells_how_full_it_is() -> None:
    popularity = Popularity(5)
    popularity.note("abc")
    assert repr(popularity) == "<Popularity 1/10 keys 3 bytes>"


# --- as the engine counts, and an operator asks ---


class Counting(Stage):
    """A stage whose engine counts."""

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules)
        self.popularity = Popularity()
        store = Levels(self.store, now=self.clock.now)
        self.engine = Engine(
            node="edge-1",
            clock=self.clock,
            route=lambda head: Route(rules, self.origin),
            store=store,
            observer=self.tally,
            fill_budget_bytes=1 << 30,
            popularity=self.popularity,
        )
        self.popular = Popular(self.popularity, store.get, self.engine.key_of)

    async def store_it(self, target: str, *fields: tuple[str, str], tags: str = "") -> None:
        task = self.ask(target, *fields)
        asked: Asked = await self.origin.nth(len(self.origin.asked) + 1)
        asked.replies(200, ("Cache-Control", "max-age=60"), ("Surrogate-Key", tags))
        await task
        await self.quiet()


async def test_what_the_store_answers_counts_and_what_the_origin_answers_does_not() -> None:
    stage = Counting(Rules())
    await stage.store_it("/a")
    assert len(stage.popularity) == 0
    for _ in range(3):
        assert (await stage.get("/a")).x_cache == "HIT"
    assert stage.popular.top(5) == [("http://a.example/a", 3)]
    await stage.engine.close()


@pytest.fixture
async def shop() -> Counting:
    """/1 is asked for once, /2 twice ...; odd ones carry the tag odd."""
    stage = Counting(Rules(key=KeyRules(query_deny=("utm_*",))))
    for number in range(1, 6):
        await stage.store_it(f"/{number}", tags="odd all" if number % 2 else "even all")
        for _ in range(number):
            await stage.get(f"/{number}?utm_source=x")
    return stage


@pytest.mark.parametrize(
    ("what", "n", "numbers"),
    [
        (None, 2, [5, 4]),
        (None, 10, [5, 4, 3, 2, 1]),
        (Selection(all=True), 3, [5, 4, 3]),
        (Selection(tags=("odd",)), 2, [5, 3]),
        (Selection(tags=("odd", "even")), 10, [5, 4, 3, 2, 1]),
        (Selection(tags=("od",)), 10, []),
        (Selection(urls=("http://a.example/2?utm_source=mail", "http://a.example/3")), 10, [3, 2]),
        (Selection(urls=("http://a.example/2",), tags=("odd",)), 10, [5, 3, 2, 1]),
        (Selection(prefixes=("http://a.example/4",)), 10, [4]),
        (Selection(hosts=("a.example",)), 1, [5]),
        (Selection(hosts=("b.example",)), 1, []),
    ],
)
async def test_what_a_purge_would_meet_is_ranked(
    shop: Counting, what: Selection | None, n: int, numbers: list[int]
) -> None:
    assert shop.popular.top(n, what) == [(f"http://a.example/{number}", number) for number in numbers]
    await shop.engine.close()


def test_keys_that_differ_by_a_header_are_one_url() -> None:
    popularity = Popularity()
    for number in range(10):
        for _ in range(number + 1):
            popularity.note(f"http://a.example/\naccept-language:{number}")
    for _ in range(3):
        popularity.note("http://a.example/other")

    def key_of(head: RequestHead) -> tuple[str, str] | None:
        return None

    popular = Popular(popularity, lambda key: (), key_of)
    assert popular.top(1) == [("http://a.example/", 55)]
    assert popular.top(2) == [("http://a.example/", 55), ("http://a.example/other", 3)]
    assert popular.top(9, Selection(urls=("http://a.example/other",))) == [("http://a.example/other", 3)]


def test_a_url_that_another_answers_for_selects_both() -> None:
    """No-Vary-Search: what is asked as /?b is given what is stored as /?a."""
    popularity = Popularity()
    for key in ("http://a.example/?a", "http://a.example/?b", "http://a.example/?c"):
        popularity.note(key)
    popular = Popular(popularity, lambda key: (), lambda head: (head.url, "http://a.example/?a\nx:1"))
    urls = {url for url, _ in popular.top(9, Selection(urls=("http://a.example/?b",)))}
    assert urls == {"http://a.example/?a", "http://a.example/?b"}
