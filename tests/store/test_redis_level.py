"""The Redis level on a real server: what is kept, what is forgotten, and that nothing forgotten comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seawall.policy.entry import Part
from seawall.store import redislevel
from seawall.store.level import Found, How, Level, Names, Reset, Stamp, Used, Wrote
from seawall.store.redislayout import BUCKETS, bucket_of
from seawall.store.redislevel import MOST_OBJECTS_OF_A_KEY, RedisLevel
from seawall.store.stored import stored
from tests.redis_house import LAYOUT, NOW, bodies, check, fill, news, one, opened, order, put, stamp, thing, url
from tests.redis_servers import RedisProcess, redis_servers

A, B = "http://a.example/a", "http://b.example/b"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    with redis_servers(tmp_path_factory.mktemp("redis")) as servers:
        yield servers.server()


@pytest.fixture
def redis(server: RedisProcess) -> RedisProcess:
    server.ask("FLUSHALL")
    return server


@pytest.fixture
async def level(redis: RedisProcess) -> AsyncIterator[RedisLevel]:
    async with opened(redis) as level:
        yield level


def test_it_is_a_level() -> None:
    def takes(level: Level) -> Level:
        return level

    assert takes(RedisLevel.__new__(RedisLevel)).shared


async def test_what_one_node_puts_another_reads_as_it_was(redis: RedisProcess, level: RedisLevel) -> None:
    item = thing(A, b"\0octets\xff" * 1000, tags=("t", "ü"), varied=(("accept", None),))
    await fill(level, [item], 7)
    async with opened(redis) as other:
        found = await other.read(A)
    assert found.stamp == stamp(7)
    [there] = found.items
    assert (there.entry, there.body, there.name) == (item.entry, item.body, item.name)


async def test_nothing_is_there_before_something_was_put(level: RedisLevel) -> None:
    assert await level.read(A) == Found((), Stamp())
    assert await level.write([Used((A,))]) == [Wrote()]


async def test_variants_and_parts_live_side_by_side_and_replace_only_their_own_kind(level: RedisLevel) -> None:
    german, english = (("accept-language", "de"),), (("accept-language", "en"),)
    await fill(level, [thing(A, b"de", varied=german), thing(A, b"en", varied=english), thing(A, b"DE", varied=german)])
    assert await bodies(level, A) == [b"DE", b"en"]
    first, last = Part(0, 3, 10, "bytes=0-3"), Part(6, 9, 10, "bytes=-4")
    await fill(level, [thing(A, b"0123", part=first), thing(A, b"6789", part=last), thing(A, b"abcd", part=first)])
    await fill(level, [thing(A, b"part", part=first, varied=german)])
    assert await bodies(level, A) == [b"6789", b"DE", b"abcd", b"en", b"part"]
    await fill(level, [thing(A, b"whole")])
    assert await bodies(level, A) == [b"DE", b"en", b"part", b"whole"]
    await fill(level, [thing(A, b"whole German", varied=german)])
    assert await bodies(level, A) == [b"en", b"whole", b"whole German"]


async def test_what_waited_for_too_long_does_not_replace_what_another_node_has_put_since(
    redis: RedisProcess, level: RedisLevel
) -> None:
    async with opened(redis) as other:
        await fill(level, [thing(A, b"old", tags=("t",), stored_at=NOW)])
        await fill(other, [thing(A, b"newer", tags=("t",), stored_at=NOW + 2)])
        assert await one(level, put(thing(A, b"late", stored_at=NOW + 1))) == Wrote()
        assert await bodies(level, A) == [b"newer"]
        await fill(other, [thing(A, b"newest", stored_at=NOW + 2)])
        assert await bodies(level, A) == [b"newest"]
        await one(level, order(1, url(A)))
        assert await one(other, put(thing(A, b"after", stored_at=NOW + 1), 1)) == Wrote()
        assert await bodies(level, A) == [b"after"]
        check([redis])


async def test_a_body_too_large_or_elsewhere_is_refused(redis: RedisProcess) -> None:
    class Elsewhere:
        length = 3

        async def open(self, first: int, stop: int) -> object:
            raise AssertionError

    async with opened(redis, max_object_bytes=100) as level:
        assert await one(level, put(thing(A, b"x" * 100))) == Wrote()
        assert await one(level, put(thing(A, b"x" * 101))) == Wrote(refused="too-large")
        filed = stored(A, thing(A).entry, Elsewhere())  # type: ignore[arg-type]
        assert await one(level, put(filed)) == Wrote(refused="too-large")
    assert level.spool() is None


@pytest.mark.parametrize(
    ("useful", "seconds"), [(600, 600), (1, 60), (-5, 60), (float("inf"), 30 * 86400), (31 * 86400, 30 * 86400)]
)
async def test_a_value_stays_for_as_long_as_it_is_useful(
    redis: RedisProcess, level: RedisLevel, useful: float, seconds: float
) -> None:
    await fill(level, [thing(A, useful=useful)])
    left = redis.ask("PTTL", LAYOUT.object(A)) / 1000
    assert seconds - 5 < left <= seconds
    # The index never goes first.
    assert redis.ask("PTTL", LAYOUT.index(bucket_of(A))) / 1000 > 30 * 86400


async def test_a_variant_that_ends_soon_does_not_take_the_others_with_it(
    redis: RedisProcess, level: RedisLevel
) -> None:
    await fill(level, [thing(A, useful=6000), thing(A, varied=(("a", "b"),), useful=60)])
    assert redis.ask("PTTL", LAYOUT.object(A)) / 1000 > 5000


# --- orders ---


async def test_an_order_is_carried_out_once_and_its_number_stands_in_every_bucket(level: RedisLevel) -> None:
    await fill(level, [thing(A, b"12345"), thing(B)], 5)
    assert (await one(level, order(6, url(A)))).met == {A: 5}
    assert await level.read(A) == Found((), stamp(6))
    assert (await level.read(B)).stamp == stamp(6)
    assert (await level.read("http://never.example/seen")).stamp == stamp(6)
    await fill(level, [thing(A, b"newer")], 6)
    assert (await one(level, order(6, url(A)))).met == {}
    assert await bodies(level, A) == [b"newer"]


async def test_what_an_order_overtook_is_refused(level: RedisLevel) -> None:
    await one(level, order(6, url(B)))
    assert await one(level, put(thing(A), 5)) == Wrote(refused="overtaken")
    assert await one(level, put(thing(A), 6)) == Wrote()
    assert await one(level, put(thing(A), 7)) == Wrote()
    assert (await level.read(A)).stamp == stamp(6), "the level itself has not carried out order 7"


async def test_another_journal_is_refused_until_an_order_or_a_reset_says_that_it_holds(level: RedisLevel) -> None:
    await fill(level, [thing(A), thing(B)], 50)
    assert await one(level, put(thing(A, b"new"), 3, "other")) == Wrote(refused="overtaken")
    await one(level, order(4, url("http://c.example/"), journal="other"))
    assert await level.read(A) == Found((), Stamp("other", 4))
    assert await level.read(B) == Found((), Stamp("other", 4))
    assert await one(level, put(thing(A), 50)) == Wrote(refused="overtaken")
    assert await one(level, put(thing(A), 4, "other")) == Wrote()


async def test_a_bucket_that_missed_an_order_gives_up_what_it_holds(level: RedisLevel) -> None:
    await fill(level, [thing(A), thing(B)], 5)
    assert (await one(level, order(7, url("http://c.example/")))).met == {}
    assert await level.read(A) == Found((), stamp(7))
    assert await level.read(B) == Found((), stamp(7))
    # What was put again under the same key brings none of the dead ones back.
    await fill(level, [thing(A, b"new", varied=(("x", "y"),))], 7)
    assert await bodies(level, A) == [b"new"]


async def test_reset_takes_everything_that_is_not_as_far(level: RedisLevel) -> None:
    await fill(level, [thing(A)], 5)
    await one(level, Reset(stamp(5)))
    assert await bodies(level, A) == [b"body"]
    await one(level, Reset(stamp(9)))
    assert await level.read(A) == Found((), stamp(9))
    await one(level, Reset(Stamp("other", 2)))
    assert await level.read(A) == Found((), Stamp("other", 2))


@pytest.mark.parametrize("how", [How.DROP, How.STALE, How.INVALIDATE])
async def test_whatever_is_to_become_of_it_is_dropped(level: RedisLevel, how: How) -> None:
    await fill(level, [thing(A), thing(B)], 5)
    assert (await one(level, news(url(A), how))).met == {A: 4}
    assert await bodies(level, A) == []
    assert (await level.read(B)).stamp == stamp(5), "local news is no order"


async def test_counting_changes_nothing(level: RedisLevel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redislevel, "TRIP_OBJECTS", 64)  # 16 at least of each bucket in a trip
    items = [thing(f"http://a.example/{number}", tags=("t", "u")) for number in range(100)]
    many = [thing(A, b"x" * number, varied=(("n", str(number)),), tags=("t",)) for number in range(50)]
    await fill(level, items + many, 5)
    expected = {item.name: item.body_bytes for item in items + many}
    for names in (Names(tags=("t",)), Names(all=True), Names(prefixes=("http://a",)), Names(tags=("t", "u"))):
        assert (await one(level, news(names, How.COUNT))).met == expected
    assert (await one(level, news(Names(exact=(A,)), How.COUNT))).met == {}
    assert len((await level.read(A)).items) == 50


async def test_an_order_for_very_much_is_carried_out_in_slices(
    level: RedisLevel, redis: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redislevel, "TRIP_OBJECTS", 64)
    items = [thing(A, b"%d" % number, varied=(("n", str(number)),), tags=("t", "u")) for number in range(50)] + [
        thing(f"http://a.example/{number}", tags=("t",)) for number in range(300)
    ]
    await fill(level, items, 5)
    assert (await one(level, order(6, Names(tags=("t",))))).met == {item.name: item.body_bytes for item in items}
    assert await level.read(A) == Found((), stamp(6))
    assert left_in(redis) == []


async def test_an_order_for_everything_sweeps_up_behind_itself(level: RedisLevel, redis: RedisProcess) -> None:
    items = [thing(f"http://a.example/{number}", tags=("t",)) for number in range(500)]
    await fill(level, items, 5)
    assert (await one(level, order(6, Names(all=True)))).met == {item.name: 4 for item in items}
    assert left_in(redis) == []
    await fill(level, items[:3], 6)
    assert (await one(level, news(Names(all=True)))).met == {item.name: 4 for item in items[:3]}
    assert (await level.read(items[0].key)).stamp == stamp(6)


async def test_what_a_reset_left_behind_is_swept_away_by_puts(level: RedisLevel, redis: RedisProcess) -> None:
    old = [thing(A, varied=(("n", str(number)),)) for number in range(30)]
    await fill(level, [*old, thing(A + "x")], 5)
    await one(level, Reset(stamp(9)))
    assert redis.ask("HLEN", LAYOUT.object(A)) == 60
    neighbour = next(
        f"http://n.example/{n}" for n in range(10_000) if bucket_of(f"http://n.example/{n}") == bucket_of(A)
    )
    for _ in range(10):
        await fill(level, [thing(neighbour)], 9)
    assert redis.ask("EXISTS", LAYOUT.object(A), LAYOUT.dead(bucket_of(A))) == 0
    assert await bodies(level, neighbour) == [b"body"]


WORDS = st.text("ab/", min_size=0, max_size=4)
URLS = st.builds("http://{}.example/{}".format, st.sampled_from("ab"), WORDS)
KEYS = st.builds(lambda u, extra: u + extra, URLS, st.sampled_from(["", "\nx-a:1", "\nx-a:1\n;c=2", "\n;c="]))
TAGS = st.sampled_from(["t", "tt", "t u", "ü", "\x80\xff"])
THINGS = st.builds(
    lambda key, tags, language, part: thing(
        key,
        tags=tuple(tags),
        varied=(("accept-language", language),) if language else (),
        part=Part(0, 3, 10, "bytes=0-3") if part else None,
    ),
    KEYS,
    st.lists(TAGS, max_size=3, unique=True),
    st.sampled_from(["", "de", "en\n\nx"]),
    st.booleans(),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    things=st.lists(THINGS, max_size=12),
    urls=st.lists(URLS, max_size=2),
    tags=st.lists(TAGS, max_size=2),
    prefixes=st.lists(st.one_of(URLS, st.sampled_from(["http://", "http://a.example/", "http://a.exam"])), max_size=1),
    exact=st.integers(0, 3),
    ordered=st.booleans(),
)
async def test_exactly_what_the_names_select_is_forgotten(
    redis: RedisProcess,
    things: list[object],
    urls: list[str],
    tags: list[str],
    prefixes: list[str],
    exact: int,
    ordered: bool,
) -> None:
    redis.ask("FLUSHALL")
    async with opened(redis) as level:
        await one(level, order(5, url("http://nothing.example/")))
        await fill(level, things, 5)  # type: ignore[arg-type]
        keys = {item.key for item in things}  # type: ignore[attr-defined]
        before = {item.name: item for key in keys for item in (await level.read(key)).items}
        names = Names(tuple(urls), tuple(tags), tuple(prefixes), tuple(sorted(before)[:exact]))
        selected = {n: i.body_bytes for n, i in before.items() if names.selects(n, i.key, i.entry.tags)}
        assert (await one(level, news(names, How.COUNT))).met == selected
        assert (await one(level, order(6, names) if ordered else news(names))).met == selected
        after = {item.name for key in keys for item in (await level.read(key)).items}
        assert after == before.keys() - selected.keys()


# --- what must not come back ---


async def test_what_a_node_that_is_behind_puts_meanwhile_cannot_be_read_as_clean(
    redis: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Node A holds back at order 5 while node B carries out order 6 in many slices: A's put falls between any two."""
    monkeypatch.setattr(redislevel, "TRIP_OBJECTS", 16)
    async with opened(redis) as a, opened(redis) as b:
        others = [thing(A, varied=(("n", str(number)),), tags=("t",)) for number in range(60)]
        await fill(b, others, 5)
        trips = 0
        asked = b.client.run
        refusals: list[str | None] = []
        stamps: list[Stamp] = []

        async def between(calls: object) -> object:
            nonlocal trips
            trips += 1
            replies = await asked(calls)  # type: ignore[arg-type]
            refusals.append((await one(a, put(thing(A, b"old", tags=("t",)), 5))).refused)
            found = await a.read(A)
            stamps.append(found.stamp)
            assert found.stamp.number < 6 or not any(item.entry.tags for item in found.items)
            return replies

        monkeypatch.setattr(b.client, "run", between)
        await one(b, order(6, Names(tags=("t",))))
        assert trips > 3
        assert set(refusals) == {"overtaken"}, "the gate is raised with the first slice"
        assert stamps[0] == stamp(5), "and the order is done with the last"
        assert stamps[-1] == stamp(6)
        assert await bodies(a, A) == []


async def test_puts_and_orders_of_two_nodes_at_once_leave_nothing_old(redis: RedisProcess) -> None:
    """Each node puts what it has survived so far and carries out orders as it hears of them, in no common order."""
    async with opened(redis) as a, opened(redis) as b:
        start = asyncio.Barrier(2)

        async def node(level: RedisLevel, delay: int) -> None:
            await start.wait()
            for number in range(1, 30):
                for _ in range(delay):
                    await level.read(A)
                await one(level, put(thing(A, b"%d" % (number - 1), tags=("t",)), number - 1))
                await one(level, order(number, Names(tags=("t",))))
                found = await level.read(A)
                assert found.stamp.number >= number
                for item in found.items:
                    assert isinstance(item.body, tuple)
                    assert int(b"".join(item.body)) >= found.stamp.number

        await asyncio.gather(node(a, 0), node(b, 2))


async def test_an_evicted_index_leaves_nothing_that_can_be_read_and_not_purged(
    redis: RedisProcess, level: RedisLevel
) -> None:
    await fill(level, [thing(A, tags=("t",))], 5)
    redis.ask("DEL", LAYOUT.index(bucket_of(A)))
    assert await level.read(A) == Found((), Stamp())
    # Another object of the bucket, of the same key even, makes a new index. The old one is not in it.
    assert await one(level, put(thing(A, b"new", varied=(("x", "y"),)), 3)) == Wrote()
    assert await bodies(level, A) == [b"new"]
    assert (await one(level, order(4, Names(tags=("t",))))).met == {}
    assert await bodies(level, A) == [b"new"]


async def test_an_index_whose_order_somebody_disturbed_is_none(redis: RedisProcess, level: RedisLevel) -> None:
    """With other scores, what stands in it would still be found one by one and no more by ranges, which orders use."""
    await fill(level, [thing(A, tags=("t",))], 5)
    index = LAYOUT.index(bucket_of(A))
    [member] = [member for member in redis.ask("ZRANGE", index, 0, -1) if member[:1] == b"t"]
    redis.ask("ZADD", index, 5, member)
    assert await level.read(A) == Found((), Stamp())
    await one(level, order(6, Names(tags=("t",))))
    assert await level.read(A) == Found((), stamp(6))


async def test_an_older_index_that_comes_back_says_how_old_it_is(redis: RedisProcess, level: RedisLevel) -> None:
    await fill(level, [thing(A)], 5)
    old = redis.ask("DUMP", LAYOUT.index(bucket_of(A))), redis.ask("DUMP", LAYOUT.object(A))
    await one(level, order(6, url(A)))
    redis.ask("RESTORE", LAYOUT.index(bucket_of(A)), 0, old[0], "REPLACE")
    redis.ask("RESTORE", LAYOUT.object(A), 0, old[1], "REPLACE")
    assert (await level.read(A)).stamp == stamp(5)
    await one(level, order(7, url(B)))
    assert await level.read(A) == Found((), stamp(7))


# --- bounds ---


def left_in(redis: RedisProcess) -> list[bytes]:
    """What there is beside the indexes of 64 buckets that name nothing."""
    return [key for key in redis.ask("KEYS", "*") if not key.endswith(b":i") or redis.ask("ZCARD", key) != 1]


async def test_an_index_does_not_grow_with_what_has_expired(redis: RedisProcess, level: RedisLevel) -> None:
    most = 0
    keys = [key for n in range(20_000) if bucket_of(key := f"http://a.example/{n}") == bucket_of(A)][:200]
    tags = tuple(f"tag-{number}" for number in range(10))
    for number, key in enumerate(keys):
        await fill(level, [thing(key, tags=tags)])
        if number >= 20:  # it has lived its time
            redis.ask("DEL", LAYOUT.object(keys[number - 20]))
        most = max(most, redis.ask("ZCARD", LAYOUT.index(bucket_of(A))))
    assert most < 20 * 11 * 4, f"{most} members for 20 objects with 10 tags"


async def test_a_key_holds_a_bounded_number_of_variants(redis: RedisProcess, level: RedisLevel) -> None:
    variants = [thing(A, b"%d" % number, varied=(("user-agent", str(number)),)) for number in range(200)]
    await fill(level, variants)
    found = (await level.read(A)).items
    assert len(found) == MOST_OBJECTS_OF_A_KEY
    assert variants[-1].name in {item.name for item in found}
    assert redis.ask("ZCARD", LAYOUT.index(bucket_of(A))) == 1 + MOST_OBJECTS_OF_A_KEY


async def test_a_key_holds_a_bounded_number_of_octets(redis: RedisProcess) -> None:
    async with opened(redis, max_object_bytes=10_000) as level:
        await fill(level, [thing(A, b"x" * 9_000, varied=(("n", str(number)),)) for number in range(10)])
        assert 1 <= len((await level.read(A)).items) <= 2


async def test_tags_that_an_object_has_lost_do_not_select_it(redis: RedisProcess, level: RedisLevel) -> None:
    await fill(level, [thing(A, tags=("old", "both"))])
    await fill(level, [thing(A, tags=("both", "new"))])
    assert redis.ask("ZCARD", LAYOUT.index(bucket_of(A))) == 1 + 1 + 2
    assert (await one(level, news(Names(tags=("old",))))).met == {}
    assert (await one(level, news(Names(tags=("new",))))).met == {A: 4}
    assert redis.ask("ZCARD", LAYOUT.index(bucket_of(A))) == 1


async def test_tags_of_an_object_that_had_expired_do_not_select_the_next_one(
    redis: RedisProcess, level: RedisLevel
) -> None:
    await fill(level, [thing(A, tags=("old",))])
    redis.ask("DEL", LAYOUT.object(A))
    await fill(level, [thing(A, tags=("new",))])
    assert (await one(level, news(Names(tags=("old",))))).met == {}
    assert await bodies(level, A) == [b"body"]


async def test_the_most_tags_that_a_response_can_have_are_kept(level: RedisLevel) -> None:
    tags = tuple(f"{number:x}" for number in range(4000))
    await fill(level, [thing(A, tags=tags)], 5)
    assert (await one(level, order(6, Names(tags=tags[3999:])))).met == {A: 4}


async def test_the_most_names_that_an_order_can_have_are_carried_out(level: RedisLevel) -> None:
    await fill(level, [thing(A, tags=("t999",)), thing(B)], 5)
    names = Names(tags=tuple(f"t{number}" for number in range(1000)))
    assert (await one(level, order(6, names))).met == {A: 4}
    urls = Names(urls=(B, *(f"http://b.example/{'x' * 200}{number}" for number in range(999))))
    assert (await one(level, order(7, urls))).met == {B: 4}


async def test_a_large_batch_is_written_in_order(level: RedisLevel) -> None:
    ops = [put(thing(A, b"%d" % number + b"x" * 100_000)) for number in range(40)]
    assert await level.write(ops) == [Wrote()] * 40
    [body] = await bodies(level, A)
    assert body.startswith(b"39x")


async def test_one_batch_does_puts_and_orders_in_turn(level: RedisLevel) -> None:
    wrote = await level.write([put(thing(A), 5), order(6, url(A)), put(thing(A), 5), put(thing(A, b"new"), 6)])
    assert [(each.refused, each.met) for each in wrote] == [
        (None, None),
        (None, {A: 4}),
        ("overtaken", None),
        (None, None),
    ]
    assert await bodies(level, A) == [b"new"]


async def test_usage_says_about_how_much_there_is(level: RedisLevel) -> None:
    assert level.usage().entries == 0
    await fill(level, [thing(f"http://a.example/{n}", b"x" * 1000) for n in range(50)])
    usage = level.usage()
    assert usage.entries == 50
    assert 50 * 1000 < usage.bytes < 50 * 1500
    await one(level, order(6, Names(all=True)))
    assert level.usage().entries == 0


# --- neighbours ---


async def test_namespaces_and_other_tenants_are_left_alone(redis: RedisProcess, level: RedisLevel) -> None:
    redis.ask("SET", "somebody", "else")
    redis.ask("SET", "{seawall:1:07}:other", "thing")
    async with opened(redis, namespace="staging") as staging:
        await fill(staging, [thing(A, b"staging")], 5)
        await fill(level, [thing(A, b"production")], 5)
        await one(level, order(6, Names(all=True)))
        assert await bodies(staging, A) == [b"staging"]
        assert await bodies(level, A) == []
    assert redis.ask("MGET", "somebody", "{seawall:1:07}:other") == [b"else", b"thing"]


async def test_forged_and_foreign_values_are_misses_and_dropped_and_counted(redis: RedisProcess) -> None:
    async with opened(redis, secret=b"ours") as level, opened(redis, secret=b"theirs") as forger:
        async with opened(redis) as plain:
            await fill(level, [thing(A, b"true")])
            assert await bodies(level, A) == [b"true"]
            for wrong in (forger, plain):
                await fill(wrong, [thing(A, b"forged")])
                assert await bodies(level, A) == []
                assert redis.ask("EXISTS", LAYOUT.object(A)) == 0
        assert level.usage().damaged == 2
        assert level.usage().failures == 0


@pytest.mark.parametrize("secret", [None, b"secret"])
async def test_a_value_under_another_name_or_cut_or_changed_is_damaged(
    redis: RedisProcess, secret: bytes | None
) -> None:
    async with opened(redis, secret=secret) as level:
        await fill(level, [thing(A, varied=(("x", "z"),)), thing(B)])
        neighbour = next(value for value in redis.ask("HVALS", LAYOUT.object(A)) if value.startswith(b"SWv"))
        redis.ask("FLUSHALL")
        await fill(level, [thing(A, varied=(("x", "y"),)), thing(B)])
        [name] = [field[1:] for field in redis.ask("HKEYS", LAYOUT.object(A)) if field[:1] == b"v"]
        good = redis.ask("HGET", LAYOUT.object(A), b"v" + name)
        others = redis.ask("HGET", LAYOUT.object(B), b"v" + B.encode())
        for wrong in (b"", b"SW", good[:-1], good + b"x", good[:50] + b"\0" + good[51:], others, neighbour):
            await fill(level, [thing(A, varied=(("x", "y"),))])
            redis.ask("HSET", LAYOUT.object(A), b"v" + name, wrong)
            before = level.usage().damaged
            assert await bodies(level, A) == []
            assert level.usage().damaged == before + 1
            assert redis.ask("EXISTS", LAYOUT.object(A)) == 0


async def test_a_damaged_value_that_was_replaced_meanwhile_stays(
    redis: RedisProcess, level: RedisLevel, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(level, [thing(A)])
    redis.ask("HSET", LAYOUT.object(A), b"v" + A.encode(), b"garbage")
    asked = level.client.run
    trips = 0

    async def slowly(calls: object) -> object:
        nonlocal trips
        trips += 1
        if trips == 2:  # it was read and found damaged, and is about to be dropped
            async with opened(redis) as other:
                await fill(other, [thing(A, b"new")])
        return await asked(calls)  # type: ignore[arg-type]

    monkeypatch.setattr(level.client, "run", slowly)
    assert await bodies(level, A) == []
    assert trips == 2
    assert await bodies(level, A) == [b"new"]


def test_buckets_are_those_of_every_other_version() -> None:
    """Nodes that disagreed would share nothing and purge past each other."""
    assert BUCKETS == 64
    assert [bucket_of(url) for url in (A, A + "\nx:1", A + "\n\n()", B)] == [bucket_of(A)] * 3 + [bucket_of(B)]
    assert LAYOUT.index(7) == b"{seawall:1:07}:i"
    # CRC-32 modulo 64, and SHA-1, as other programs have them
    sha1 = b"9c17e047f58f9220a7008d4f18152fee4d111d14"
    assert LAYOUT.object("http://example.com/") == b"{seawall:1:09}:o:" + sha1
