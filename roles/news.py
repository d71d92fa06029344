"""What one worker of a node tells the others: that an unsafe request has made stored responses stale (RFC 9111 4.4).

Datagrams between Unix sockets in the node's data directory. Purges do not go this way: they are numbered and
confirmed. This is the news of a moment, told once; a worker that is too busy to hear it serves what it has until that
is stale by itself, as another edge would.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from seawall.store.level import Names

MOST_BYTES = 128 * 1024
AT_A_TIME = 64  # datagrams between two turns of the loop


class News:
    """One worker's ear, and its voice to the others. Raises OSError where the directory takes no socket."""

    def __init__(self, directory: Path, worker: int, workers: int, hear: Callable[[Names], None]) -> None:
        self._hear = hear
        # Through a descriptor: the path of a Unix socket may have 107 octets, that of a directory more.
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._others = [self._path(other) for other in range(workers) if other != worker]
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            own = self._path(worker)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(own)  # of a worker that was killed
            self._socket.bind(own)
        except BaseException:
            self._socket.close()
            os.close(self._directory)
            raise
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._come)
        self.untold = 0  # datagrams that found nobody, or no room

    def tell(self, names: Names) -> None:
        """To every other worker that has room for it."""
        said = msgspec.json.encode(names)
        for other in self._others:
            try:
                self._socket.sendto(said, other)
            except OSError:
                self.untold += 1

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()
        os.close(self._directory)

    def _path(self, worker: int) -> str:
        return f"/proc/self/fd/{self._directory}/news.{worker}"

    def _come(self) -> None:
        for _ in range(AT_A_TIME):
            try:
                said = self._socket.recv(MOST_BYTES)
            except OSError:  # nothing more
                return
            try:
                names = msgspec.json.decode(said, type=Names)
            except msgspec.DecodeError:
                continue  # the directory is ours alone: a version before or after this one
            self._hear(names)
