"""`seawall warm` fills the store gently, stops before it does harm, and goes on where it stopped."""

from __future__ import annotations

import asyncio
import gzip
import json
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from console.warm import Options
from console.warm import warm as command
from console.warmsources import Source
from console.warmstate import HEADER
from tests.console.command import run, running
from tests.console.warmhouse import FRESH, HOST, TOKEN, WarmHouse, warmhouse

FAST = 5000.0


@pytest.fixture
async def home() -> AsyncIterator[WarmHouse]:
    async with warmhouse() as built:
        built.edge.stub.script("/*", [FRESH])
        yield built


def listing(tmp_path: Path, *names: str) -> str:
    file = tmp_path / "urls"
    file.write_text("".join(f"{name}\n" for name in names))
    return str(file)


def numbered(count: int) -> list[str]:
    return [f"{HOST}/{number}" for number in range(count)]


def options(urls: str | None = None, *, rate: float = FAST, source: Source | None = None, **more: Any) -> Options:
    return Options(source or Source(urls=urls), rate=rate, **more)


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


async def test_what_a_file_names_is_stored_and_the_summary_says_so(
    home: WarmHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.edge.stub.script("/private", ["body=x&cache-control=private"])
    home.edge.stub.script("/lost", ["status=404&cache-control=no-store"])
    file = listing(tmp_path, "\ufeff# after a deploy", "", *numbered(3), f"{HOST}/0", f"{HOST}/private", f"{HOST}/lost")
    assert await home.told(options(file)) == 0
    summary = said(capsys)
    counts = {
        name: summary[name] for name in ("state", "wanted", "asked", "stored", "hits", "passed", "failed", "left")
    }
    assert counts == {
        "state": "complete", "wanted": 5, "asked": 5, "stored": 3, "hits": 0, "passed": 2, "failed": 0, "left": 0
    }  # fmt: skip
    assert summary["why"]["passed"] == {"private": 1, "404 no-store": 1}
    assert summary["bytes"] >= 31
    assert [
        (await home.edge.get(f"/{n}", ("Host", "a.example"), ("Accept-Encoding", "br"))).x_cache for n in range(3)
    ] == 3 * ["HIT"]

    assert await home.told(options(file), json=False) == 0
    assert "5 of 5 URLs: 0 stored, 3 stored already, 2 passed (" in capsys.readouterr().out
    assert home.asked("/0") == 1


async def test_another_variant_is_asked_for_with_its_fields(home: WarmHouse, tmp_path: Path) -> None:
    file = listing(tmp_path, f"{HOST}/de")
    assert await home.told(options(file, headers=("Accept-Language: de", "X-A:b"))) == 0
    fields = {name.lower(): value for name, value in home.edge.stub.tally("/de").last[-1].headers}
    assert (fields["accept-language"], fields["x-a"], fields["user-agent"]) == ("de", "b", "seawall-warm")


async def test_urls_of_the_other_scheme_are_passed_with_a_hint(
    home: WarmHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = listing(tmp_path, "https://a.example/1")
    assert await home.told(options(file), json=False) == 0
    assert "--scheme" in capsys.readouterr().out
    assert await home.told(options(source=Source(urls=file, scheme="http"))) == 0
    assert said(capsys)["stored"] == 1


async def test_the_pace_is_kept(home: WarmHouse, tmp_path: Path) -> None:
    file = listing(tmp_path, *numbered(6))
    began = asyncio.get_running_loop().time()
    assert await home.told(options(file, rate=50.0)) == 0
    assert asyncio.get_running_loop().time() - began >= 5 / 50


async def test_a_bar_shows_how_far_it_is_and_standard_output_is_for_the_result(
    home: WarmHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.say.on_terminal", lambda stream: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    assert await home.told(options(listing(tmp_path, *numbered(4)))) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["stored"] == 4
    assert "4 stored" in err


# --- an origin in trouble ---


async def test_it_stops_when_the_origin_begins_to_fail_half_way(
    home: WarmHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(40, 200):
        home.edge.stub.script(f"/{number}", ["status=500"])
    file, state = listing(tmp_path, *numbered(200)), str(tmp_path / "state")
    assert await home.told(options(file, state=state, at_once=2)) == 1
    out, err = capsys.readouterr()
    summary = json.loads(out)
    assert (summary["state"], summary["stored"]) == ("stopped", 40)
    assert 6 <= summary["failed"] <= 8  # one more may have been under way
    assert summary["next"] == f"{HOST}/40"
    assert summary["left"] == 160
    assert "the origin failed 6 of the last 20 times, at last with 500" in err
    assert f"the first is {HOST}/" in err
    assert home.edge.stub.total.count < 50

    # The origin has recovered: what is done is not asked for again, and what failed is.
    home.edge.stub.reset()
    home.edge.stub.script("/*", [FRESH])
    assert await home.told(options(file, state=state)) == 0
    summary = said(capsys)
    assert (summary["skipped"], summary["asked"], summary["stored"]) == (40, 160, 160)
    assert home.asked("/0") == 0
    assert await home.told(options(file, state=state)) == 0
    assert said(capsys)["skipped"] == 200


async def test_it_stops_at_once_when_nothing_works(
    home: WarmHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.edge.stub.script("/*", ["status=503"])
    assert await home.told(options(listing(tmp_path, *numbered(100)), at_once=1)) == 1
    assert home.edge.stub.total.count == 10
    assert "10 times in a row" in capsys.readouterr().err


async def test_it_stops_when_the_origin_becomes_slow(
    home: WarmHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.warmguard.SLOW_MS", 80.0)
    for number in range(30, 200):
        home.edge.stub.script(f"/{number}", [f"{FRESH}&delay=150ms"])
    assert await home.told(options(listing(tmp_path, *numbered(200)), at_once=8)) == 1
    assert "the origin has become slow" in capsys.readouterr().err
    assert 40 <= home.edge.stub.total.count <= 58


async def test_when_all_of_a_short_list_failed_that_is_a_failure(home: WarmHouse, tmp_path: Path) -> None:
    home.edge.stub.script("/*", ["status=503"])
    assert await home.told(options(listing(tmp_path, *numbered(3)))) == 1
    home.edge.stub.script("/0", [FRESH])
    assert await home.told(options(listing(tmp_path, *numbered(3)))) == 0


async def test_it_stops_when_the_node_does(home: WarmHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home.edge.stub.script("/2", [f"{FRESH}&gate=never"])
    task = asyncio.create_task(home.told(options(listing(tmp_path, *numbered(50)), at_once=1)))
    await home.edge.stub.parked("never")
    home.warmer.close()
    assert await task == 1
    assert "the node is being stopped" in capsys.readouterr().err
    assert home.asked("/3") == 0


async def test_a_url_that_takes_too_long_is_one_failure(
    home: WarmHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.edge.stub.script("/1", [f"{FRESH}&gate=never"])
    assert await home.told(options(listing(tmp_path, *numbered(3)), timeout="50ms")) == 0
    assert said(capsys)["why"]["failed"] == {"timeout": 1}


# --- interruptions and state ---


async def test_ctrl_c_leaves_a_state_that_goes_on(home: WarmHouse, tmp_path: Path) -> None:
    home.edge.stub.script("/5", [f"{FRESH}&gate=wait"])
    file, state = listing(tmp_path, *numbered(10)), tmp_path / "state"
    words = ("warm", "--urls", file, "--state", str(state), "--concurrency", "1", "--rate", "5000", "--json")
    env = {"SEAWALL_ADMIN": home.admin, "SEAWALL_TOKEN": TOKEN}
    async with running(tmp_path, *words, env=env) as warming:
        await home.edge.stub.parked("wait")
        assert await warming.end(signal.SIGINT) == 1
        assert warming.process.stdout is not None
        summary = json.loads(await warming.process.stdout.read())
        assert (summary["stopped"], summary["asked"], summary["next"]) == ("interrupted", 5, f"{HOST}/5")
        assert "Traceback" not in await warming.complaint()
    assert state.read_text().splitlines() == [HEADER, *numbered(5)]
    home.edge.stub.open("wait")
    ended = await asyncio.to_thread(run, tmp_path, *words, **env)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (json.loads(ended.stdout)["skipped"], json.loads(ended.stdout)["asked"]) == (5, 5)
    assert [home.asked(f"/{number}") for number in range(10)] == 10 * [1]


async def test_a_line_that_was_cut_off_is_asked_for_again(
    home: WarmHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    state.write_text(f"{HEADER}\n{HOST}/0\n{HOST}/1")
    assert await home.told(options(listing(tmp_path, *numbered(3)), state=str(state), at_once=1)) == 0
    assert said(capsys)["skipped"] == 1
    assert state.read_text().splitlines() == [HEADER, f"{HOST}/0", f"{HOST}/1", f"{HOST}/2"]


@pytest.mark.parametrize("content", [b"my diary\n", b"my diary", b"\xff\xfe", f"{HEADER}".encode()])
async def test_a_file_that_is_no_state_is_left_alone(home: WarmHouse, tmp_path: Path, content: bytes) -> None:
    state = tmp_path / "diary"
    state.write_bytes(content)
    assert await home.told(options(listing(tmp_path, *numbered(1)), state=str(state))) == 2
    assert state.read_bytes() == content
    assert home.asked("/0") == 0


# --- refusals ---


@pytest.mark.parametrize(
    ("source", "more", "expected"),
    [
        (Source(), {}, "one of --urls"),
        (Source(urls="a", sitemap="http://a/"), {}, "one of --urls"),
        (Source(urls="/does/not/exist"), {}, "cannot be read"),
        (Source(sitemap="/sitemap.xml"), {}, "--sitemap"),
        (Source(sitemap="file:///etc/passwd"), {}, "--sitemap"),
        (Source(node="http://a/b"), {}, "not an admin URL"),
        (Source(urls="a", top=0), {}, "--top"),
        (Source(urls="a", scheme="ftp"), {}, "--scheme"),
        (Source(urls="a"), {"rate": 0.0}, "--rate"),
        (Source(urls="a"), {"rate": float("nan")}, "--rate"),
        (Source(urls="a"), {"at_once": 0}, "--concurrency"),
        (Source(urls="a"), {"timeout": "2m"}, "--timeout"),
        (Source(urls="a"), {"timeout": "30"}, "30s"),
        (Source(urls="a"), {"headers": ("nonsense",)}, "--header"),
        (Source(access_log="/dev/null", host="a/b"), {}, "--host"),
    ],
)
def test_2_when_it_cannot_mean_anything(
    source: Source, more: dict[str, Any], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("127.0.0.1:1", TOKEN, options(source=source, **more), json=False) == 2
    assert expected in capsys.readouterr().err


def test_a_mistake_in_a_file_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = listing(tmp_path, *numbered(2), "not a url\x1b[2J")
    assert command("127.0.0.1:1", TOKEN, options(file), json=False) == 2
    assert f"{file}:3: 'not a url\\x1b[2J'" in capsys.readouterr().err


def test_1_when_there_is_nothing_or_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("127.0.0.1:1", TOKEN, options(listing(tmp_path, "# nothing")), json=False) == 1
    assert "nothing to warm" in capsys.readouterr().err
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{nobody.getsockname()[1]}"
        assert command(where, TOKEN, options(listing(tmp_path, *numbered(5))), json=False) == 1
        assert "no node answers" in capsys.readouterr().err
        assert command("127.0.0.1:1", TOKEN, options(source=Source(node=where)), json=False) == 1


async def test_1_when_it_is_refused(home: WarmHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await home.told(options(listing(tmp_path, *numbered(5))), token="wrong") == 1
    assert "401" in capsys.readouterr().err
    assert home.edge.stub.total.count == 0


async def test_5_when_the_node_does_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("console.warm.SLACK_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        asking = options(listing(tmp_path, *numbered(2)), timeout="10ms")
        assert await asyncio.to_thread(command, where, TOKEN, asking, json=False) == 5


# --- other sources ---


async def test_a_log_warms_what_was_asked_for_most(
    home: WarmHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def line(target: str, method: str = "GET", status: int = 200) -> str:
        return f'192.0.2.1 - - [10/Oct/2026:13:55:36 +0000] "{method} {target} HTTP/1.1" {status} 5 "-" "curl"\n'

    lines = [line(f"/{number}") * (number + 1) for number in range(5)] + [
        line("/cart", "POST") * 9,
        line("/x", status=500) * 9,
    ]
    log = tmp_path / "access.log.gz"
    log.write_bytes(gzip.compress("".join(lines).encode()))
    source = Source(access_log=str(log), top=2)
    assert await home.told(options(source=source)) == 2
    assert "--host" in capsys.readouterr().err
    assert await home.told(options(source=Source(access_log=str(log), top=2, host="a.example"))) == 0
    assert said(capsys)["stored"] == 2
    assert [home.asked(f"/{number}") for number in range(5)] == [0, 0, 0, 1, 1]
    log.write_text("nothing that anybody knows\n")
    assert await home.told(options(source=source)) == 1
    assert "known format" in capsys.readouterr().err


async def test_what_another_node_is_asked_for_most_is_warmed_here(
    home: WarmHouse, capsys: pytest.CaptureFixture[str]
) -> None:
    async with warmhouse() as other:
        for number in range(5):
            for _ in range(number + 1):
                other.popularity.note(f"{HOST}/{number}")
        assert await home.told(options(source=Source(node=other.admin, top=3))) == 0
    assert said(capsys)["stored"] == 3
    assert [home.asked(f"/{number}") for number in range(5)] == [0, 0, 1, 1, 1]


async def test_a_sitemap_is_read_and_warmed(home: WarmHouse, capsys: pytest.CaptureFixture[str]) -> None:
    pages = "".join(f"<url><loc>{url}</loc></url>" for url in numbered(3))
    xml = f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{pages}</urlset>'
    home.edge.stub.script("/sitemap.xml", {"body": xml})
    source = Source(sitemap=f"{home.edge.stub.url}/sitemap.xml")
    assert await home.told(options(source=source)) == 0
    assert said(capsys)["stored"] == 3
    home.edge.stub.script("/sitemap.xml", ["status=404"])
    assert await home.told(options(source=source)) == 1
    assert "404" in capsys.readouterr().err


async def test_the_command_finds_its_words_in_flags_and_in_the_environment(home: WarmHouse, tmp_path: Path) -> None:
    words = (
        "warm",
        "--urls",
        "-",
        "--rate",
        "1000",
        "--concurrency",
        "2",
        "-H",
        "Accept: text/html",
        "--admin",
        home.admin,
    )
    ended = await asyncio.to_thread(run, tmp_path, *words, "--token", TOKEN)
    assert ended.returncode == 1  # nothing on standard input
    ended = await asyncio.to_thread(
        run, tmp_path, "warm", "--urls", listing(tmp_path, *numbered(2)), *words[3:], SEAWALL_TOKEN=TOKEN
    )
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "2 of 2 URLs: 2 stored, 0 stored already\n")


def test_help_has_an_example(tmp_path: Path) -> None:
    ended = run(tmp_path, "warm", "--help")
    assert ended.returncode == 0
    assert "Example: seawall warm" in ended.stdout


async def test_many_urls_in_one_request_come_back_in_order(home: WarmHouse) -> None:
    urls = [*numbered(20), "https://a.example/"]
    fields = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{home.admin}/v1/warm", json={"urls": urls}, headers=fields) as answer,
    ):
        warmed = (await answer.json())["urls"]
    assert [each["url"] for each in warmed] == urls
    assert [each["stored"] for each in warmed] == 20 * [True] + [False]
    assert (warmed[-1]["status"], warmed[-1]["why"]) == (421, "scheme")
