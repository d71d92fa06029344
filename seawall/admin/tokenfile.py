"""The token that a node makes for itself, and how the command line of the same user finds it.

The secret lies in the node's data directory, for its owner's eyes only. Beside the data directories, a note for each
admin address says which file holds the token of the process that listens there. A note of a process that is gone
counts for nothing: whoever took its port since must not be handed the secret.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

TOKEN_FILE = "admin.token"  # noqa: S105 (a file name)
SECRET_FILE = "cluster.secret"  # noqa: S105 (likewise)
MAX_TOKEN_BYTES = 256
LOOPBACK = ("127.0.0.1", "::1", "localhost")
WILDCARD = ("0.0.0.0", "::")  # noqa: S104 (names to look for, not bound)


class Unsafe(Exception):
    """Others could read or replace what lies there; the text says what and how to mend it."""


def keep_token(data: Path) -> str:
    """The token of this data directory, made on first use: directory 0700, file 0600.

    Raises OSError where nothing can be written, Unsafe where others could read or replace it.
    """
    return _keep(data / TOKEN_FILE)


def keep_secret(state: Path) -> str:
    """What the nodes of one user on one machine know each other by, in the user's state directory; as keep_token.

    Several processes may ask for it at once for the first time: all get the same one.
    """
    return _keep(state / SECRET_FILE)


def _keep(file: Path) -> str:
    data = file.parent
    own_directory(data)
    with contextlib.suppress(FileNotFoundError):
        return _read(file)
    # Written aside and linked into place, so that nobody ever reads half of it; link() fails where the name is
    # taken, and then the first to come has made it.
    aside = data / f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "w", encoding="ascii") as opened:
            opened.write(secrets.token_urlsafe(32) + "\n")
        with contextlib.suppress(FileExistsError):
            os.link(aside, file)
    finally:
        aside.unlink()
    return _read(file)


def own_directory(path: Path) -> None:
    """Makes the directory (0700), or checks one that is there. Raises OSError or Unsafe."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.stat()
    if found.st_uid not in (os.geteuid(), 0):
        raise Unsafe(f"{path} belongs to somebody else")
    if found.st_mode & 0o022:
        raise Unsafe(f"{path} can be written by others: chmod go-w {path}")


def _read(file: Path) -> str:
    fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as opened:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise Unsafe(f"{file} is no regular file")
        if found.st_uid != os.geteuid():
            raise Unsafe(f"{file} belongs to somebody else")
        if found.st_mode & 0o077:
            raise Unsafe(f"{file} can be read by others: delete it, the node makes a new one")
        text = opened.read(MAX_TOKEN_BYTES).strip()
    if len(text) < 16 or not text.isascii():
        raise Unsafe(f"{file} holds no token: delete it, the node makes a new one")
    return text.decode("ascii")


# --- notes ---


def leave_note(state: Path, host: str, port: int, data: Path) -> Path:
    """Says where the token for this admin address lies, until this process ends. Raises OSError or Unsafe."""
    notes = state / "admin"
    own_directory(notes)
    note = notes / _name(host, port)
    text = json.dumps({"pid": os.getpid(), "data": str(data.resolve())})
    aside = note.with_name(f"{note.name}.{os.getpid()}")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as opened:
        opened.write(text)
    aside.replace(note)
    return note


def remove_note(note: Path) -> None:
    """Takes the note away, unless another process has left its own there since."""
    with contextlib.suppress(OSError, ValueError):
        if json.loads(note.read_text())["pid"] == os.getpid():
            note.unlink()


def find_token(state: Path, host: str, port: int) -> str | None:
    """The token for an admin address of this machine, if its process runs and left a note. Raises nothing."""
    for name in _names(host, port):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, Unsafe):
            note = json.loads((state / "admin" / name).read_text())
            if _lives(int(note["pid"])):
                return _read(Path(note["data"]) / TOKEN_FILE)
    return None


def _names(host: str, port: int) -> Iterator[str]:
    yield _name(host, port)
    if host in LOOPBACK:
        yield from (_name(other, port) for other in (*LOOPBACK, *WILDCARD) if other != host)


def _name(host: str, port: int) -> str:
    return f"{host.replace(':', '_').replace('/', '_')}-{port}"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
