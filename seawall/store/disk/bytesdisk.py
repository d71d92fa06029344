"""diskcache's way of keeping a value, without what makes it dangerous: octets in the row or in a file, and no pickle.

diskcache 5.6.3 unpickles what a row says is a pickle, whoever wrote that row (CVE-2025-69872), and joins any file
name in a row to its directory. Here a key is a string, a value is octets, and a file is one that we named.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from diskcache import UNKNOWN, Disk  # type: ignore[import-untyped]

from seawall.store.codec import Damaged

# As diskcache writes them (MODE_RAW and MODE_BINARY of its core module).
IN_ROW = 1
IN_FILE = 2

_OURS = re.compile(r"[0-9a-f]{2}/[0-9a-f]{30}\.val")


def is_ours(filename: object) -> bool:
    """Is it a name that we gave a body? Anything else in a row was planted, `../../etc/passwd` for one."""
    return isinstance(filename, str) and _OURS.fullmatch(filename) is not None


class BytesDisk(Disk):  # type: ignore[misc]  # diskcache has no types
    """Where bodies lie below a directory. `store` and `fetch` know octets only."""

    def put(self, key: object) -> tuple[str, bool]:
        if not isinstance(key, str):
            raise TypeError("a key is a string")
        return key, True

    def get(self, key: object, raw: object) -> str:
        if not raw or not isinstance(key, str):
            raise Damaged("a key that is no string")
        return key

    def store(self, value: object, read: bool, key: object = UNKNOWN) -> tuple[int, int, None, bytes]:
        # Only what goes into the row comes this way: files are written before the transaction, and moved in it.
        if read or type(value) is not bytes:
            raise TypeError("a value is octets")
        return 0, IN_ROW, None, value

    def fetch(self, mode: object, filename: object, value: object, read: bool) -> bytes:
        """The octets of a row that has them. Raises Damaged for all others: bodies in files are proven by readers."""
        if mode != IN_ROW or filename is not None or not isinstance(value, bytes):
            raise Damaged("a value of another kind than was stored")
        return value

    def filename(self, key: object = UNKNOWN, value: object = UNKNOWN) -> tuple[str, str]:
        """A new name, and where that is. One level of folders: diskcache's two would make two for almost each file."""
        name = os.urandom(16).hex()
        filename = f"{name[:2]}/{name[2:]}.val"
        return filename, str(self.path(filename))

    def path(self, filename: str) -> Path:
        return Path(self._directory, filename)

    def remove(self, filename: object) -> None:
        """The file is gone, if it was one of ours. Its folder stays for the next."""
        if is_ours(filename):
            with suppress(OSError):
                self.path(str(filename)).unlink()
