"""What a node of the file can be. The only place below the roles that spells their names, because the file does.

Nothing here or above may branch on a role but the roles' own node.py and the command line that starts them.
"""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """The words of the topology file."""

    EDGE = "edge"  # answers clients
    SHIELD = "shield"  # answers other nodes, and stands before the origin
    ORIGIN_STUB = "origin-stub"  # a scripted origin to try things with

    @property
    def caches(self) -> bool:
        """Does it run the engine?"""
        return self is not Role.ORIGIN_STUB
