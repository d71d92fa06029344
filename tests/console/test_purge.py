"""`seawall purge` ends with what a script must know, whatever happened."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from console.purge import Options, purge
from tests.console.command import run
from tests.purge.house import ADMIN, RANKS, READER, House, house

T = ("t",)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path / "journal") as built:
        yield built


async def told(home: House, options: Options, *, token: str = ADMIN, json: bool = False) -> int:
    """The exit code; the command blocks, as it does in a shell."""
    assert home.port is not None
    return await asyncio.to_thread(purge, home.port.address, token, options, json=json)


async def test_0_when_every_node_has_it(home: House, capsys: pytest.CaptureFixture[str]) -> None:
    await home.open_all()
    assert await told(home, Options(tags=T)) == 0
    said = capsys.readouterr()
    assert "purge 1: complete, 8 matched" in said.out
    for node in RANKS:
        (line,) = [line for line in said.out.splitlines() if line.startswith(node)]
        assert line.split()[1:4] == ["applied", "2", "20"]
    assert said.err == ""


async def test_json_is_the_answer_of_the_node(home: House, capsys: pytest.CaptureFixture[str]) -> None:
    await home.open_all()
    assert await told(home, Options(urls=("http://a.example/1",)), json=True) == 0
    (line,) = capsys.readouterr().out.splitlines()
    said = json.loads(line)
    assert (said["id"], said["state"], said["matched"], len(said["nodes"])) == (1, "complete", 4, 4)


async def test_1_when_it_is_refused(home: House, capsys: pytest.CaptureFixture[str]) -> None:
    await home.open_hub(ranks={})
    assert await told(home, Options(tags=T), token=READER) == 1
    assert "403" in capsys.readouterr().err
    assert await told(home, Options(tags=T), token="wrong") == 1
    assert "401" in capsys.readouterr().err


def test_1_when_nobody_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        assert purge(f"127.0.0.1:{nobody.getsockname()[1]}", ADMIN, Options(tags=T), json=False) == 1
    assert "no node answers" in capsys.readouterr().err


@contextmanager
def answering(*said: bytes) -> Iterator[str]:
    """A listener that is no admin port: says this to whoever connects, and ends the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for each in said:
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(each)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b'HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{"state":"as ever"}',
        b"HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_1_when_what_answers_is_no_admin_port(said: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(said) as where:
        assert purge(where, ADMIN, Options(tags=T), json=True) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (Options(), "nothing is named"),
        (Options(tags=T, everything=True), "--all stands alone"),
        (Options(urls=("/relative",)), "--url '/relative'"),
        (Options(urls=("http://a.example/\x1b[2J",)), "--url 'http://a.example/\\x1b[2J'"),
        (Options(tags=("",)), "--tag ''"),
        (Options(prefixes=("http://a.example/?q",)), "--prefix"),
        (Options(hosts=("http://a",)), "--host"),
        (Options(tags=T, timeout="30"), "30s"),
        (Options(tags=T, timeout="soon"), "--timeout"),
        (Options(tags=T, timeout="1d"), "at most"),
        (Options(tags=T, wait="some"), "--wait"),
        (Options(tags=T, wait="accepted", fail_if_empty=True), "--fail-if-empty"),
        (Options(from_file="/does/not/exist"), "cannot be read"),
    ],
)
def test_2_when_it_cannot_mean_anything(options: Options, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert purge("127.0.0.1:1", ADMIN, options, json=False) == 2
    assert said in capsys.readouterr().err


def test_2_for_an_address_that_is_none() -> None:
    assert purge("http://a/b", ADMIN, Options(tags=T), json=False) == 2


async def test_3_when_a_node_is_fenced(home: House, capsys: pytest.CaptureFixture[str]) -> None:
    await home.open_all()
    home.members["edge-ams"].relay.hold()
    assert await told(home, Options(tags=T, fail_if_empty=True)) == 3
    assert "partial" in capsys.readouterr().out


async def test_4_when_nothing_matched_and_that_is_a_failure(home: House, capsys: pytest.CaptureFixture[str]) -> None:
    await home.open_all()
    assert await told(home, Options(tags=("nobody",))) == 0
    assert "nothing matched" in capsys.readouterr().err
    assert await told(home, Options(tags=("nobody",), fail_if_empty=True)) == 4
    assert await told(home, Options(tags=("nobody",), fail_if_empty=True, dry_run=True)) == 4


async def test_5_when_time_has_run_out(home: House) -> None:
    await home.open_all()
    home.members["edge-ams"].relay.hold()
    assert await told(home, Options(tags=T, timeout="50ms")) == 5
    assert await told(home, Options(tags=T, wait="accepted")) == 0


async def test_5_when_the_node_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("console.purge.SLACK_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        assert await asyncio.to_thread(purge, where, ADMIN, Options(tags=T, timeout="1ms"), json=False) == 5
    assert "did not answer" in capsys.readouterr().err


async def test_a_dry_run_changes_nothing(home: House, capsys: pytest.CaptureFixture[str]) -> None:
    await home.open_all()
    assert await told(home, Options(tags=T, dry_run=True)) == 0
    assert "dry run, nothing is changed, 8 matched" in capsys.readouterr().out
    assert len(home.shelf.held) == 3


async def test_a_file_names_many(home: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await home.open_hub(ranks={})
    home.shelf.fill()
    file = tmp_path / "names"
    urls = "\n".join(f"http://a.example/{number}" for number in range(3, 2200))
    file.write_text(
        f"\ufeff# after a deploy\n\nhttp://a.example/1\r\ntag t\nhost b.example\nprefix a.example/x\n{urls}\n"
    )
    assert await told(home, Options(from_file=str(file)), json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["state"], said["matched"], [each["id"] for each in said["purges"]]) == ("complete", 3, [1, 2, 3])
    assert home.shelf.held == {}


async def test_a_mistake_in_a_file_purges_nothing(
    home: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await home.open_hub(ranks={})
    home.shelf.fill()
    file = tmp_path / "names {0}"
    file.write_text("tag t\n" * 1500 + "not a url\n")
    assert await told(home, Options(from_file=str(file))) == 2
    assert f"{file}:1501: 'not a url'" in capsys.readouterr().err
    assert len(home.shelf.held) == 3


async def test_of_several_the_worst_counts(home: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await home.open_all()
    home.members["edge-ams"].relay.hold()
    urls = tuple(f"http://a.example/{number}" for number in range(1500))
    assert await told(home, Options(urls=urls, timeout="5s"), json=True) == 3
    assert json.loads(capsys.readouterr().out)["state"] == "partial"


async def test_the_command_finds_its_words_in_flags_and_in_the_environment(home: House, tmp_path: Path) -> None:
    await home.open_hub(ranks={})
    home.shelf.fill()
    assert home.port is not None
    known = {"SEAWALL_ADMIN": home.port.address, "SEAWALL_TOKEN": ADMIN}
    words = ("purge", "--url", "http://a.example/1", "--tag", "one", "--soft", "--json")
    ended = await asyncio.to_thread(run, tmp_path, *words, **known)
    assert (ended.returncode, ended.stderr) == (0, "")
    said = json.loads(ended.stdout)
    assert (said["soft"], said["matched"]) == (True, 1)
    flags = ("--admin", f"http://{home.port.address}", "--token", ADMIN)
    ended = await asyncio.to_thread(run, tmp_path, "purge", "--all", *flags)
    assert (ended.returncode, ended.stdout.splitlines()[0]) == (0, "purge 2: complete, 2 matched")


def test_help_has_an_example(tmp_path: Path) -> None:
    ended = run(tmp_path, "purge", "--help")
    assert ended.returncode == 0
    assert "Example: seawall purge" in ended.stdout
