"""What every level promises (seawall.store.level), as tests: a subclass says which level, and what to check behind it.

class TestMine(LevelContract):
    @pytest.fixture
    async def level(self): ...

    async def check(self, level): ...   # tables, indexes and files agree; nothing is left over
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any

import pytest

from seawall.http.headers import headers
from seawall.policy.entry import Entry, Part
from seawall.policy.invalidate import invalidated, stale_from
from seawall.store.level import Forget, Found, How, Level, Names, Put, Reset, Stamp, Used, Wrote
from seawall.store.stored import Stored, stored

# Whole seconds: a level may keep instants in any form that gives them back exactly.
NOW = float(math.floor(time.time()))
SITE = "http://site.example"
ALONE = Stamp()


def entry(*lines: tuple[str, str], **changes: Any) -> Entry:
    """A response that is fresh for an hour."""
    plain = Entry(
        method="GET",
        status=200,
        reason="OK",
        headers=headers(lines or [("Content-Type", "text/plain"), ("ETag", '"1"')]),
        varied=(),
        requested_at=NOW - 1,
        stored_at=NOW,
        born_at=NOW - 10.25,
        fresh_until=NOW + 3600,
        swr_until=NOW + 3660,
        sie_until=NOW + 7200,
        unreachable_until=NOW + 86400,
    )
    return replace(plain, **changes)


def item(path: str = "/", body: bytes | tuple[bytes, ...] = b"body", *lines: tuple[str, str], **changes: Any) -> Stored:
    pieces = body if isinstance(body, tuple) else (body,) if body else ()
    return stored(SITE + path, entry(*lines, **changes), pieces)


async def octets(one: Stored) -> bytes:
    """Its body, wherever it lies."""
    if isinstance(one.body, tuple):
        return b"".join(one.body)
    reader = await one.body.open(0, one.body.length)
    assert reader.length == one.body.length
    pieces = []
    while piece := await reader.read():
        pieces.append(piece)
    return b"".join(pieces)


async def put(level: Level, *items: Stored, stamp: Stamp = ALONE) -> list[str | None]:
    """Why each was refused."""
    return [wrote.refused for wrote in await level.write([Put(each, stamp) for each in items])]


async def forget(level: Level, names: Names, how: How = How.DROP, at: float = NOW, after: Stamp | None = None) -> Wrote:
    [wrote] = await level.write([Forget(names, how, at, after)])
    return wrote


async def bodies(level: Level, path: str = "/") -> set[bytes]:
    found = await level.read(SITE + path)
    return {await octets(each) for each in found.items}


async def held(level: Level, items: Iterable[Stored]) -> set[str]:
    """The names of these that the level still holds."""
    keys = dict.fromkeys(each.key for each in items)
    return {each.name for key in keys for each in (await level.read(key)).items}


async def assert_holds(level: Level, *items: Stored) -> None:
    """All of these, exactly, and nothing else under their keys."""
    for key in {each.key for each in items}:
        found = await level.read(key)
        got = {each.name: each for each in found.items}
        wanted = {each.name: each for each in items if each.key == key}
        assert got.keys() == wanted.keys()
        for name, one in got.items():
            assert one.key == key
            assert one.entry == wanted[name].entry
            assert lines_of(one) == lines_of(wanted[name])
            assert one.body_bytes == wanted[name].body_bytes
            assert await octets(one) == await octets(wanted[name])


def lines_of(one: Stored) -> list[tuple[str, str]]:
    """A header map equals another in any order and case of names; this does not."""
    return [(str(name), value) for name, value in one.entry.headers.items()]


GZIP = (("accept-encoding", "gzip"),)
NONE = (("accept-encoding", None),)

KINDS = {
    "plain": item(),
    "empty": item(body=b""),
    "pieces": item(body=(b"one", b"two", b"three")),
    "query": item("/a?b=c&d=%C3%A9"),
    "latin-1": item("/", b"\xff\x00", ("X", "caf\xe9\x80\xff"), ("x", "2"), ("A", "1"), ("X", ""), ("Set-X", "a\tb")),
    "no-fields": stored(SITE + "/", replace(entry(), headers=headers()), (b"x",)),
    "varied": item(varied=(("accept-encoding", "gzip"), ("accept-language", None))),
    "part": item(part=Part(0, 3, 100, "bytes=0-3"), status=206, reason="Partial Content"),
    "part-of-unknown": item(part=Part(2**40, 2**40 + 3, None, ""), varied=GZIP, status=206),
    "tags": item(tags=("a", "items", "caf\xe9", "with space", f"{SITE}#group")),
    "extended-key": stored(f"{SITE}/\nx-device:phone\n;session=1", entry(tags=("a",)), (b"x",)),
    "flags": item(no_cache=True, must_revalidate=True, invalidated=True, method="GET", status=404, reason=""),
    "instants": item(fresh_until=NOW + 0.1, born_at=NOW - 1e-3, swr_until=math.inf, unreachable_until=NOW + 1e9),
    "one-row": item(body=bytes(range(256)) * 128),
    "big": item(body=tuple(bytes([number]) * 65536 for number in range(40))),
    "odd-size": item(body=b"\x01\x02\x03" * 100_001),
}


class LevelContract:
    """Abstract: see the module's docstring. Orders come as a journal gives them, one by one."""

    @pytest.fixture
    async def level(self) -> Level:
        raise NotImplementedError

    async def check(self, level: Level) -> None:
        """Raises AssertionError where what the level has written down contradicts itself."""

    @pytest.fixture(autouse=True)
    async def _checked(self, level: Level) -> AsyncIterator[None]:
        yield
        await self.check(level)

    # --- what is put is found ---

    @pytest.mark.parametrize("kind", KINDS)
    async def test_what_is_put_is_found_exactly(self, level: Level, kind: str) -> None:
        assert await put(level, KINDS[kind]) == [None]
        await assert_holds(level, KINDS[kind])

    async def test_what_was_never_put_is_not_found(self, level: Level) -> None:
        await put(level, item("/a"))
        for path in ("/", "/a/", "/A", "/a?", "/a\n", "/%61"):
            assert (await level.read(SITE + path)).items == ()

    async def test_variants_and_parts_lie_side_by_side_under_a_key(self, level: Level) -> None:
        items = [
            item(body=b"gzip", varied=GZIP),
            item(body=b"none", varied=NONE),
            item(body=b"part", part=Part(0, 3, 9, "bytes=0-3")),
            item(body=b"tail", part=Part(5, 8, 9, "bytes=5-8")),
        ]
        assert await put(level, *items) == [None] * 4
        await assert_holds(level, *items)

    async def test_many_objects_in_one_batch(self, level: Level) -> None:
        items = [item(f"/{number}", b"%d" % number, tags=("all", f"n{number}")) for number in range(300)]
        assert set(await put(level, *items)) == {None}
        await assert_holds(level, *items)

    async def test_nothing_to_do_is_done(self, level: Level) -> None:
        assert await level.write([]) == []

    async def test_usage_counts_what_is_held(self, level: Level) -> None:
        before = level.usage()
        await put(level, item("/a", b"x" * 5000), item("/b", b"y" * 90_000))
        usage = level.usage()
        assert usage.entries == before.entries + 2
        assert usage.bytes >= before.bytes + 95_000
        assert (usage.evicted, usage.damaged, usage.failures) == (0, 0, 0)

    # --- what supersedes what ---

    async def test_a_newer_one_takes_the_place(self, level: Level) -> None:
        await put(level, item(body=b"old", tags=("old", "both")))
        await put(level, item(body=b"newer", tags=("new", "both")))
        await assert_holds(level, item(body=b"newer", tags=("new", "both")))
        await forget(level, Names(tags=("old",)))
        assert await bodies(level) == {b"newer"}, "a tag that the older one had does not name the newer one"
        await forget(level, Names(tags=("new",)))
        assert await bodies(level) == set()

    @pytest.mark.parametrize("size", [10, 200_000])
    async def test_the_same_body_under_a_newer_head(self, level: Level, size: int) -> None:
        body = b"s" * size
        await put(level, item(body=body, tags=("old",)))
        newer = item("/", body, ("ETag", '"2"'), ("Age", "0"), fresh_until=NOW + 9000, tags=("new",))
        assert await put(level, newer) == [None]
        await assert_holds(level, newer)
        await forget(level, Names(tags=("old",)))
        await assert_holds(level, newer)
        await forget(level, Names(tags=("new",)))
        assert await bodies(level) == set()

    @pytest.mark.parametrize("size", [10, 200_000])
    async def test_another_body_of_the_same_length(self, level: Level, size: int) -> None:
        await put(level, item(body=b"a" * size))
        await put(level, item(body=b"b" * size))
        assert await bodies(level) == {b"b" * size}

    async def test_what_was_found_can_be_put_again(self, level: Level) -> None:
        """As a refresh does: the body as it came from the level, under another entry."""
        await put(level, item(body=b"r" * 2_500_000))
        [found] = (await level.read(SITE + "/")).items
        newer = stored(found.key, replace(found.entry, fresh_until=NOW + 1), found.body)
        assert await put(level, newer) == [None]
        [again] = (await level.read(SITE + "/")).items
        assert again.entry.fresh_until == NOW + 1
        assert await octets(again) == b"r" * 2_500_000

    async def test_a_whole_one_replaces_its_parts_and_no_others(self, level: Level) -> None:
        other = item(body=b"gz", varied=GZIP, part=Part(0, 1, 9, ""))
        await put(level, item(part=Part(0, 3, 9, "")), item(part=Part(5, 8, 9, "")), other)
        whole = item(body=b"whole")
        await put(level, whole)
        await assert_holds(level, whole, other)

    async def test_a_part_replaces_the_same_range_only(self, level: Level) -> None:
        whole = item(body=b"whole")
        first, last = item(body=b"old!", part=Part(0, 3, 9, "")), item(body=b"last", part=Part(5, 8, 9, ""))
        await put(level, whole, first, last)
        newer = item(body=b"new!", part=Part(0, 3, 9, "bytes=-4"))
        await put(level, newer)
        await assert_holds(level, whole, newer, last)

    async def test_one_batch_is_carried_out_in_its_order(self, level: Level) -> None:
        old, new = item(body=b"old", tags=("t",)), item(body=b"new", tags=("t",))
        drop = Forget(Names(tags=("t",)), How.DROP, NOW)
        wrote = await level.write([Put(old, ALONE), drop, Put(new, ALONE)])
        assert [one.refused for one in wrote] == [None, None, None]
        assert await bodies(level) == {b"new"}
        await level.write([Put(old, ALONE), Put(new, ALONE), drop])
        assert await bodies(level) == set()

    # --- what is forgotten ---

    TAGGED = (
        item("/1", tags=("items",)),
        item("/2", tags=("items1",)),
        item("/3", tags=("item",)),
        item("/4", tags=("Items",)),
        item("/5", tags=("items", "other")),
        item("/6", tags=("items/1", "a b", "caf\xe9")),
        item("/7", tags=("other",)),
        item("/8"),
    )

    @pytest.mark.parametrize(
        ("tags", "gone"),
        [
            (("items",), "15"),
            (("items1",), "2"),
            (("item",), "3"),
            (("i%",), ""),
            (("item_",), ""),
            ((".*",), ""),
            (("",), ""),
            ((), ""),
            (("caf\xe9",), "6"),
            (("a", "b"), ""),
            (("a b", "other"), "567"),
            (("other", "items", "other"), "157"),
        ],
    )
    async def test_a_tag_is_matched_exactly(self, level: Level, tags: tuple[str, ...], gone: str) -> None:
        await put(level, *self.TAGGED)
        wrote = await forget(level, Names(tags=tags))
        left = {each.name for each in self.TAGGED if each.key[-1] not in gone}
        assert await held(level, self.TAGGED) == left
        assert wrote.met is not None
        assert wrote.met.keys() == {each.name for each in self.TAGGED} - left
        assert set(wrote.met.values()) <= {4}
        # And what is left can be purged by its own.
        await forget(level, Names(tags=("items", "items1", "item", "Items", "items/1", "other")))
        assert await held(level, self.TAGGED) == {self.TAGGED[7].name}

    KEYED = (
        item("/a"),
        item("/a/b"),
        item("/ab"),
        item("/a?x"),
        stored(f"{SITE}/a\nx-device:phone", entry(), (b"body",)),
        stored(f"{SITE}/a\nx-device:phone", entry(varied=GZIP), (b"body",)),
        stored(f"{SITE}/ab\nx-device:phone", entry(), (b"body",)),
        item("/a", varied=GZIP),
        stored("http://site.example.org/a", entry(), (b"body",)),
        stored("https://site.example/a", entry(), (b"body",)),
        stored("http://site.example/", entry(), (b"body",)),
        item("/b"),  # the first one behind all that begin with /a
    )

    @pytest.mark.parametrize(
        ("names", "gone"),
        [
            (Names(urls=(f"{SITE}/a",)), {0, 4, 5, 7}),
            (Names(urls=(f"{SITE}/ab", f"{SITE}/none")), {2, 6}),
            (Names(urls=(f"{SITE}/a\nx-device:phone",)), set()),
            (Names(urls=(f"{SITE}/",)), {10}),
            (Names(prefixes=(f"{SITE}/a",)), {0, 1, 2, 3, 4, 5, 6, 7}),
            (Names(prefixes=(f"{SITE}/a/",)), {1}),
            (Names(prefixes=(f"{SITE}/",)), {0, 1, 2, 3, 4, 5, 6, 7, 10, 11}),
            (Names(prefixes=("https://site.example/", f"{SITE}/a?")), {3, 9}),
            (Names(prefixes=(f"{SITE}/%",)), set()),
            (Names(prefixes=(f"{SITE}/a\nx",)), set()),
            (Names(exact=(item("/a").name, f"{SITE}/nothing")), {0}),
            (Names(exact=(item("/a", varied=GZIP).name,)), {7}),
            (Names(urls=(f"{SITE}/ab",), prefixes=("https://",), exact=(f"{SITE}/",)), {2, 6, 9, 10}),
            (Names(), set()),
            (Names(all=True), set(range(12))),
        ],
    )
    async def test_a_name_selects_what_it_says(self, level: Level, names: Names, gone: set[int]) -> None:
        wanted = {each.name for number, each in enumerate(self.KEYED) if number in gone}
        assert wanted == {each.name for each in self.KEYED if names.selects(each.name, each.key, ())}
        await put(level, *self.KEYED)
        wrote = await forget(level, names)
        assert await held(level, self.KEYED) == {each.name for each in self.KEYED} - wanted
        assert wrote.met == dict.fromkeys(wanted, 4)

    async def test_what_is_no_text_selects_nothing(self, level: Level) -> None:
        """Half a surrogate pair: JSON can say it, no octets can."""
        await put(level, item(tags=("t",)))
        half = "\ud800"
        await forget(level, Names(urls=(half,), tags=(half,), prefixes=(half,), exact=(half,)))
        await level.write([Used((half,))])
        await assert_holds(level, item(tags=("t",)))

    async def test_what_is_counted_is_left_as_it_is(self, level: Level) -> None:
        await put(level, *self.TAGGED)
        wrote = await forget(level, Names(tags=("items",)), How.COUNT)
        assert wrote.met == {self.TAGGED[0].name: 4, self.TAGGED[4].name: 4}
        await assert_holds(level, *self.TAGGED)

    async def test_what_was_forgotten_can_be_put_again(self, level: Level) -> None:
        await put(level, item(body=b"old", tags=("t",)))
        await forget(level, Names(tags=("t",)))
        await put(level, item(body=b"new", tags=("t",)))
        await assert_holds(level, item(body=b"new", tags=("t",)))

    async def test_ten_thousand_objects_of_a_tag(self, level: Level) -> None:
        for first in range(0, 10_000, 1000):
            items = [item(f"/{number}", b"x", tags=("all",)) for number in range(first, first + 1000)]
            assert set(await put(level, *items)) == {None}
        await put(level, item("/other", tags=("other",)))
        wrote = await forget(level, Names(tags=("all",)))
        assert wrote.met is not None
        assert len(wrote.met) == 10_000
        assert level.usage().entries == 1
        await assert_holds(level, item("/other", tags=("other",)))

    # --- what becomes stale ---

    async def test_what_is_made_stale_is_so_from_that_moment_on_or_gone(self, level: Level) -> None:
        was = item(tags=("t",))
        await put(level, was)
        await forget(level, Names(tags=("t",)), How.STALE, at=NOW + 60)
        for one in (await level.read(was.key)).items:
            assert one.entry == stale_from(was.entry, NOW + 60)
            assert await octets(one) == b"body"

    async def test_stale_twice_is_stale_from_the_earlier(self, level: Level) -> None:
        was = item(tags=("t",))
        for first, second in ((60, 30), (30, 60)):
            await put(level, was)
            await forget(level, Names(tags=("t",)), How.STALE, at=NOW + first)
            await forget(level, Names(urls=(was.key,)), How.STALE, at=NOW + second)
            for one in (await level.read(was.key)).items:
                assert one.entry == stale_from(was.entry, NOW + 30)

    async def test_what_is_invalidated_is_or_is_gone(self, level: Level) -> None:
        was, other = item(tags=("t",)), item("/other")
        await put(level, was, other)
        await forget(level, Names(tags=("t",)), How.INVALIDATE)
        assert [one.entry for one in (await level.read(was.key)).items] in ([], [invalidated(was.entry)])
        await assert_holds(level, other)

    @pytest.mark.parametrize("how", [How.STALE, How.INVALIDATE])
    @pytest.mark.parametrize("body", [b"body", b"b" * 100_000])
    async def test_what_is_put_after_that_is_fresh_again(self, level: Level, how: How, body: bytes) -> None:
        was = item(body=body, tags=("t",))
        await put(level, was)
        await forget(level, Names(tags=("t",)), how)
        await put(level, was)
        await assert_holds(level, was)

    # --- the orders ---

    async def test_a_level_says_how_far_it_has_carried_out_the_orders(self, level: Level) -> None:
        assert (await level.read(SITE + "/")).stamp == ALONE
        await forget(level, Names(tags=("t",)), after=Stamp("j", 1))
        assert (await level.read(SITE + "/")).stamp == Stamp("j", 1)
        await forget(level, Names(tags=("u",)))
        assert (await level.read(SITE + "/")).stamp == Stamp("j", 1), "local news is no order"
        await put(level, item(), stamp=Stamp("j", 1))
        await forget(level, Names(tags=("v",)), How.STALE, after=Stamp("j", 2))
        found: Found = await level.read(SITE + "/")
        assert found.stamp == Stamp("j", 2)
        assert [one.name for one in found.items] == [item().name]

    async def test_what_an_order_overtook_is_refused(self, level: Level) -> None:
        await forget(level, Names(tags=("none",)), after=Stamp("j", 1))
        await forget(level, Names(tags=("none",)), after=Stamp("j", 2))
        assert await put(level, item(), stamp=Stamp("j", 1)) == ["overtaken"]
        assert await put(level, item(), stamp=Stamp("k", 9)) == ["overtaken"]
        assert await put(level, item(), stamp=ALONE) == ["overtaken"]
        assert await bodies(level) == set()
        assert await put(level, item(), stamp=Stamp("j", 2)) == [None]
        assert await bodies(level) == {b"body"}

    async def test_an_order_in_a_batch_overtakes_what_comes_behind_it(self, level: Level) -> None:
        """With the stamp of before: it may be what the order was about."""
        order = Forget(Names(tags=("t",)), How.DROP, NOW, Stamp("j", 1))
        wrote = await level.write([Put(item("/a", tags=("t",)), ALONE), order, Put(item("/b", tags=("t",)), ALONE)])
        assert [one.refused for one in wrote] == [None, None, "overtaken"]
        assert await held(level, (item("/a"), item("/b"))) == set()

    async def test_an_order_is_carried_out_once(self, level: Level) -> None:
        first, second = Stamp("j", 1), Stamp("j", 2)
        await put(level, item(tags=("t",)))
        assert (await forget(level, Names(tags=("t",)), after=first)).met == {item().name: 4}
        await forget(level, Names(tags=("u",)), after=second)
        await put(level, item(tags=("t",)), stamp=second)
        for again in (first, second):
            assert not (await forget(level, Names(tags=("t",)), after=again)).met
        assert await bodies(level) == {b"body"}, "it was put after the order, and survived it"
        assert (await level.read(SITE + "/")).stamp == second

    async def test_after_a_reset_nothing_is_served_without_asking(self, level: Level) -> None:
        items = (item("/a"), item("/b", b"b" * 100_000), item("/c", varied=GZIP))
        await put(level, *items)
        await level.write([Reset(Stamp("j", 7))])
        for was in items:
            found = await level.read(was.key)
            assert found.stamp == Stamp("j", 7)
            assert [one.entry for one in found.items] in ([], [invalidated(was.entry)])
        assert await put(level, items[0], stamp=Stamp("j", 7)) == [None]
        await assert_holds(level, items[0])
        assert await put(level, items[1], stamp=Stamp("j", 6)) == ["overtaken"]

    async def test_orders_go_on_after_a_reset(self, level: Level) -> None:
        await level.write([Reset(Stamp("j", 7))])
        await put(level, item(tags=("t",)), item("/b"), stamp=Stamp("j", 7))
        await forget(level, Names(tags=("t",)), after=Stamp("j", 8))
        found = await level.read(SITE + "/b")
        assert found.stamp == Stamp("j", 8)
        assert [one.entry for one in found.items] == [item("/b").entry]
        assert await bodies(level) == set()

    async def test_what_was_used_is_as_it_was(self, level: Level) -> None:
        await put(level, item())
        assert await level.write([Used((item().name, "http://site.example/none"))]) == [Wrote()]
        await assert_holds(level, item())

    async def test_a_level_is_closed_twice(self, level: Level) -> None:
        await level.close()
        await level.close()
