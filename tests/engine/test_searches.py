"""No-Vary-Search: queries that do not matter, as clients see it."""

from tests.engine.scripted import NOW, Got, Stage

FRESH = ("Cache-Control", "max-age=60")
NO_UTM = ("No-Vary-Search", 'params=("utm_source")')


async def fetched(stage: Stage, target: str, *fields: tuple[str, str], body: bytes = b"body") -> Got:
    client = stage.ask(target)
    (await stage.origin.nth(len(stage.origin.asked) + 1)).replies(200, FRESH, *fields, body=body)
    got = await client
    await stage.quiet()
    return got


async def test_argument_that_does_not_matter_makes_no_other_object(stage: Stage) -> None:
    await fetched(stage, "/p?a=1&utm_source=x", NO_UTM)
    assert (await stage.get("/p?a=1")).x_cache == "HIT"
    assert (await stage.get("/p?utm_source=y&a=1")).x_cache == "HIT"
    assert len(stage.store) == 1


async def test_argument_that_matters_still_does(stage: Stage) -> None:
    await fetched(stage, "/p?a=1&utm_source=x", NO_UTM, body=b"one")
    assert (await fetched(stage, "/p?a=2", NO_UTM, body=b"two")).body == b"two"


async def test_origin_that_takes_its_word_back_is_believed(stage: Stage) -> None:
    await fetched(stage, "/p?a=1", NO_UTM)
    await fetched(stage, "/p?a=2")
    assert (await fetched(stage, "/p?a=1&utm_source=x")).x_cache == "MISS"


async def test_stale_object_is_revalidated_once_for_all_its_names(stage: Stage) -> None:
    await fetched(stage, "/p?a=1", NO_UTM, ("ETag", '"1"'))
    stage.clock.at = NOW + 61
    client = stage.ask("/p?a=1&utm_source=x")
    asked = await stage.origin.nth(2)
    assert asked.head.headers["if-none-match"] == '"1"'
    asked.replies(304, FRESH, ("ETag", '"1"'), body=b"")
    assert (await client).body == b"body"
    assert (await stage.get("/p?a=1")).x_cache == "HIT"


async def test_unsafe_request_by_any_of_its_names_invalidates_it(stage: Stage) -> None:
    await fetched(stage, "/p?a=1", NO_UTM)
    writer = stage.ask("/p?a=1&utm_source=x", method="POST")
    (await stage.origin.nth(2)).replies(200)
    await writer
    assert (await fetched(stage, "/p?a=1", NO_UTM, body=b"new")).body == b"new"
