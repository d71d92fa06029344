"""A real application, visited with a real browser through the edge: what its users may rely on."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import random
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import pytest

from tests.webapp.app import WORDS
from tests.webapp.browser import Browser, Seen, browser
from tests.webapp.conftest import Site

pytestmark = pytest.mark.timeout(120)

STATIC = ("/static/site.css", "/static/site.js")


def of(seen: list[Seen], path: str) -> Seen:
    """The last response for the path."""
    return next(one for one in reversed(seen) if one.url.endswith(path))


def assert_outcome(site: Site, seen: Seen, outcome: str) -> None:
    """The edge said so, and it was not the browser's own cache that answered."""
    assert not seen.own_cache
    if site.edge:
        assert seen.headers.get("x-cache") == outcome, seen


def log_in(one: Browser, name: str) -> None:
    one.visit("/login")
    one.submit("go", name=name)


def test_a_page_arrives_with_its_style_and_script(site: Site, alice: Browser) -> None:
    seen = alice.visit("/")
    assert of(seen, "/").status == 200
    assert alice.text("h1") == "Home"
    assert alice.find("h1").value_of_css_property("color") == "rgba(0, 102, 204, 1)"
    assert alice.find("html").get_attribute("data-script") == "ran"


def test_the_second_visit_finds_page_and_static_files_in_the_edge(site: Site, alice: Browser, bob: Browser) -> None:
    alice.visit("/")
    for one in (alice, bob):
        seen = one.visit("/")
        for path in ("/", *STATIC):
            assert of(seen, path).status == 200
            assert_outcome(site, of(seen, path), "HIT")
            if site.edge:
                assert int(of(seen, path).headers["age"]) >= 0


def test_a_missing_page_is_404_with_the_applications_own_text(site: Site, alice: Browser) -> None:
    assert of(alice.visit("/nowhere"), "/nowhere").status == 404
    assert alice.text("h1") == "Not here"


def test_two_users_at_the_same_time_never_see_each_others_page(site: Site, alice: Browser, bob: Browser) -> None:
    people = {"alice": alice, "bob": bob}
    for name, one in people.items():
        log_in(one, name)
        assert one.text("#hello") == f"Hello {name}"
    together = threading.Barrier(2)

    def look(name: str, path: str) -> str:
        together.wait(30)
        people[name].visit(path)
        return people[name].text("#hello")

    with ThreadPoolExecutor(2) as pool:
        for path in ("/me", "/account") * 5:
            greetings = list(pool.map(look, people, [path] * 2))
            assert greetings == ["Hello alice", "Hello bob"], path


@pytest.mark.parametrize("path", ["/me", "/account"])
async def test_fifty_users_at_once_each_get_their_own_page(site: Site, path: str) -> None:
    names = [f"user{number:02}" for number in range(50)]
    limit = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(site.url, connector=limit, cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def log_in(name: str) -> str:
            async with session.post("/login", data={"name": name}, allow_redirects=False) as answer:
                assert answer.status == 303
                return answer.cookies["sid"].value

        async def look(name: str, session_id: str) -> tuple[str, str]:
            async with session.get(path, headers={"Cookie": f"sid={session_id}"}) as answer:
                found = re.search(r"Hello (\w+)", await answer.text())
                assert found is not None
                return name, found[1]

        sessions = dict(zip(names, await asyncio.gather(*map(log_in, names)), strict=True))
        for _ in range(4):
            looks = list(sessions.items())
            random.shuffle(looks)
            seen = await asyncio.gather(*(look(*one) for one in looks))
            assert [pair for pair in seen if pair[0] != pair[1]] == []


async def test_a_cookie_that_a_cacheable_page_sets_is_not_shared(site: Site) -> None:
    # The page says max-age=60 and nothing of sharing; whoever stores it hands out one visitor's cookie to all.
    async with aiohttp.ClientSession(site.url, cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def visitor() -> str:
            async with session.get("/visit") as answer:
                return answer.cookies["visitor"].value

        one_by_one = [await visitor() for _ in range(3)]
        at_once = await asyncio.gather(*(visitor() for _ in range(20)))
        assert len({*one_by_one, *at_once}) == 23


def test_a_post_changes_the_cached_list_at_once_for_everyone(site: Site, alice: Browser, bob: Browser) -> None:
    alice.visit("/notes")
    renderings = []
    for one in (alice, bob):
        assert_outcome(site, of(one.visit("/notes"), "/notes"), "HIT")
        renderings.append(one.text("#rendered"))
    if site.edge:
        assert renderings[0] == renderings[1]
    note = f"note {random.getrandbits(64):x}"
    # Posted to another address: the redirect's Location names what changed (RFC 9111 4.4).
    alice.submit("add", note=note)
    assert note in alice.text("#list")
    bob.visit("/notes")
    assert note in bob.text("#list")
    assert_outcome(site, of(alice.visit("/notes"), "/notes"), "HIT")
    assert note in alice.text("#list")


def test_an_upload_arrives_whole(site: Site, alice: Browser, tmp_path: Path) -> None:
    content = random.Random(1).randbytes(8 << 20)
    file = tmp_path / "upload.bin"
    file.write_bytes(content)
    alice.visit("/upload")
    alice.submit("send", file=str(file))
    assert alice.text("#size") == str(len(content))
    assert alice.text("#sha256") == hashlib.sha256(content).hexdigest()


def test_ticks_arrive_one_by_one(site: Site, alice: Browser) -> None:
    # The application sends a tick only after the page has shown the one before: held back, none would come.
    alice.visit("/ticks")
    alice.titled("Done")
    assert alice.text("#ticks").split("\n") == [f"tick {n}" for n in range(1, 6)]


def test_the_browser_reads_the_coded_variant(site: Site, alice: Browser) -> None:
    alice.visit("/words")
    seen = of(alice.visit("/words"), "/words")
    assert seen.headers["content-encoding"] == "gzip"
    assert_outcome(site, seen, "HIT")
    assert alice.text("body") == WORDS.strip()


async def test_who_takes_no_gzip_gets_none(site: Site) -> None:
    async with aiohttp.ClientSession(site.url, auto_decompress=False) as session:
        for coding, expected in (("gzip", "gzip"), ("identity", None), ("gzip", "gzip"), ("identity", None)):
            async with session.get("/words", headers={"Accept-Encoding": coding}) as answer:
                assert answer.headers.get("Content-Encoding") == expected
                assert "accept-encoding" in answer.headers["Vary"].lower()
                body = await answer.read()
                assert (gzip.decompress(body) if expected else body) == WORDS.encode()


async def test_a_validator_of_the_application_still_works(site: Site) -> None:
    async with aiohttp.ClientSession(site.url) as session:
        async with session.get("/static/site.css") as answer:
            etag = answer.headers["ETag"]
        async with session.get("/static/site.css", headers={"If-None-Match": etag}) as answer:
            assert (answer.status, await answer.read()) == (304, b"")


async def test_the_origins_control_cannot_be_reached_through_the_edge(echo_site: Site) -> None:
    # Edge and origin share a machine here: coming from loopback must not be enough.
    async with aiohttp.ClientSession(echo_site.url) as session, session.get("/_stub/tally") as answer:
        assert answer.status == (403 if echo_site.edge else 200)


def test_a_websocket_sends_every_message_back(echo_site: Site, tmp_path: Path) -> None:
    with browser(echo_site.url, tmp_path / "profile") as one:
        one.visit("/")
        assert one.text("h1").strip() == "Origin stub"
        heard = one.driver.execute_async_script(
            """
            const [messages, done] = arguments, heard = [];
            const socket = new WebSocket("ws://" + location.host + "/ws");
            socket.onopen = () => socket.send(messages[0]);
            socket.onerror = () => done(["failed", ...heard]);
            socket.onmessage = (event) => {
              heard.push(event.data);
              // One after the other: an echo that is held back stops the conversation.
              if (heard.length < messages.length) socket.send(messages[heard.length]); else socket.close();
            };
            socket.onclose = (event) => done([event.wasClean ? "clean" : "broken", ...heard]);
            """,
            ["hello", "grüße", "x" * 200_000],
        )
        assert heard == ["clean", "hello", "grüße", "x" * 200_000]
