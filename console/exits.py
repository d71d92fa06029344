"""How a command ends, for scripts."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of every command."""

    DONE = 0
    FAILED = 1  # refused, or did not work
    USAGE = 2  # wrong usage or configuration
    PARTIAL = 3  # a purge that some node has not confirmed
    NO_MATCH = 4  # nothing matched, with --fail-if-empty
    TIMED_OUT = 5
