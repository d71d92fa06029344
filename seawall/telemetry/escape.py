"""Text from the network as a log may hold it: one line, and nothing that a terminal or a parser would obey."""

from __future__ import annotations

import re

# Quote and backslash too, so that a quoted field ends where it seems to; from 0x7f on, because C1 controls move
# cursors as well as ESC does, and a log in pure ASCII has one reading.
_UNSAFE = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")


def escaped(text: str) -> str:
    """The text with everything else spelled as \\xHH (or \\uHHHH), as nginx and Apache do."""
    return _UNSAFE.sub(_spelled, text)


def _spelled(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
