"""The state file of a warming: the URLs that are done, one a line, so that a second run goes on where one stopped.

Appended to while it runs. A line counts once its line feed is there, so a run that was killed in the middle of one
has only one URL to ask for again.
"""

from __future__ import annotations

import os

# The first line. A file without it is somebody else's, and nothing is appended to it.
HEADER = "# seawall warm: URLs that are done"


class NotAState(Exception):
    """The file cannot be used; the text says why."""


class State:
    """The open file. `done` is what stood in it, and what was added."""

    def __init__(self, path: str) -> None:
        """Opens the file, or begins one. Raises NotAState."""
        self.path = path
        try:
            # 0600: URLs may hold what nobody else is to know.
            fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise NotAState(f"{path} cannot be opened: {error.strerror}") from error
        self._file = os.fdopen(fd, "rb+", buffering=0)
        try:
            self.done = self._read()
        except BaseException:
            self._file.close()
            raise

    def add(self, url: str) -> None:
        """One more is done. Raises OSError: a run that cannot be continued has to be known of now."""
        self.done.add(url)
        self._file.write(f"{url}\n".encode())

    def close(self) -> None:
        """Idempotent."""
        self._file.close()

    def _read(self) -> set[str]:
        try:
            lines = self._file.read().decode().split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise NotAState(f"{self.path} is no state file of seawall warm") from error
        unfinished = lines.pop()
        if not lines and not unfinished:
            self._file.write(f"{HEADER}\n".encode())
            return set()
        if not lines or lines[0] != HEADER:
            raise NotAState(f"{self.path} is no state file of seawall warm")
        if unfinished:
            self._file.truncate(self._file.tell() - len(unfinished.encode()))
        return set(lines[1:])
