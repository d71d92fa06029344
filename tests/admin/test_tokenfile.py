"""A node's own token is for its user alone, and the command line of that user finds it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from seawall.admin.tokenfile import TOKEN_FILE, Unsafe, find_token, keep_token, leave_note, remove_note


def test_the_first_start_makes_a_token_and_the_next_keeps_it(tmp_path: Path) -> None:
    data = tmp_path / "state" / "edge"
    token = keep_token(data)
    assert keep_token(data) == token
    assert len(token) >= 43
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE((data / TOKEN_FILE).stat().st_mode) == 0o600
    assert [file.name for file in data.iterdir()] == [TOKEN_FILE]


def test_two_directories_have_two_tokens(tmp_path: Path) -> None:
    assert keep_token(tmp_path / "a") != keep_token(tmp_path / "b")


def test_many_at_once_agree_on_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(lambda _: keep_token(tmp_path / "d"), range(32)))
    assert len(tokens) == 1


def test_who_comes_second_takes_what_the_first_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, first = os.link, "f" * 43

    def link(aside: Path, file: Path) -> None:
        file.touch(0o600)
        file.write_text(first)
        real(aside, file)

    monkeypatch.setattr("seawall.admin.tokenfile.os.link", link)
    assert keep_token(tmp_path) == first
    assert [file.name for file in tmp_path.iterdir()] == [TOKEN_FILE]


def test_the_umask_does_not_open_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        keep_token(tmp_path / "d")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "d" / TOKEN_FILE).stat().st_mode) == 0o600


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    keep_token(tmp_path)
    (tmp_path / TOKEN_FILE).chmod(0o640)
    with pytest.raises(Unsafe, match="read by others"):
        keep_token(tmp_path)


def test_a_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o770)
    with pytest.raises(Unsafe, match="chmod go-w"):
        keep_token(tmp_path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    data = tmp_path / "d"
    data.mkdir(0o700)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("x" * 43)
    elsewhere.chmod(0o600)
    (data / TOKEN_FILE).symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic links"):
        keep_token(data)


@pytest.mark.parametrize("make", ["empty", "fifo"])
def test_what_is_no_token_is_refused_and_nothing_hangs(tmp_path: Path, make: str) -> None:
    file = tmp_path / TOKEN_FILE
    if make == "empty":
        file.touch(0o600)
    else:
        os.mkfifo(file, 0o600)
    with pytest.raises(Unsafe):
        keep_token(tmp_path)


@pytest.mark.parametrize(
    ("bound", "asked", "found"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "localhost", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("::1", "::1", True),
        ("::", "localhost", True),
        ("10.0.0.1", "127.0.0.1", False),
        ("127.0.0.1", "cache.example", False),
    ],
)
def test_a_note_leads_from_the_address_to_the_token(tmp_path: Path, bound: str, asked: str, found: bool) -> None:
    token = keep_token(tmp_path / "edge")
    leave_note(tmp_path, bound, 8081, tmp_path / "edge")
    assert find_token(tmp_path, asked, 8081) == (token if found else None)
    assert find_token(tmp_path, asked, 8082) is None


def test_a_note_of_a_process_that_is_gone_counts_for_nothing(tmp_path: Path) -> None:
    keep_token(tmp_path / "edge")
    note = leave_note(tmp_path, "127.0.0.1", 8081, tmp_path / "edge")
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    note.write_text(json.dumps({"pid": child.pid, "data": str(tmp_path / "edge")}))
    assert find_token(tmp_path, "127.0.0.1", 8081) is None


def test_a_note_goes_with_its_process_but_not_with_another(tmp_path: Path) -> None:
    note = leave_note(tmp_path, "127.0.0.1", 8081, tmp_path)
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    note.write_text(json.dumps({"pid": os.getpid() + 1, "data": "x"}))
    remove_note(note)
    assert note.exists()
    leave_note(tmp_path, "127.0.0.1", 8081, tmp_path)
    remove_note(note)
    assert not note.exists()
    remove_note(note)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pid": "x", "data": 1}', '{"pid": 1, "data": "/nowhere"}'])
def test_a_broken_note_is_no_note(tmp_path: Path, content: str) -> None:
    leave_note(tmp_path, "127.0.0.1", 8081, tmp_path).write_text(content)
    assert find_token(tmp_path, "127.0.0.1", 8081) is None
