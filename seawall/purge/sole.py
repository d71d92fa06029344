"""Is this the only process that serves under its node's name? A lock that ends with its holder, however that ends.

It tells of one machine and one directory. Where another machine could run a node of the same name (an old pod that
is cut off, not gone), it proves nothing: say `sole` to the hub only where all nodes are of this machine.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Sole:
    """The name is ours until `close`, or until the process ends. Nobody else gets it while we are frozen."""

    __slots__ = ("_handle",)

    def __init__(self, handle: int) -> None:
        """Made by `claim` only."""
        self._handle = handle

    def close(self) -> None:
        """Lets the name go. Idempotent."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def claim(directory: Path, node: str) -> Sole | None:
    """The name, or None where a process has it that may still serve. The directory is made. Raises OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(directory / f"{node}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except BaseException:
        os.close(handle)
        raise
    return Sole(handle)
