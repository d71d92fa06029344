"""Ports for topologies whose nodes must know each other's before any of them listens."""

from __future__ import annotations

import socket
from random import Random

# Below the range that the kernel hands out for port 0 and for outgoing connections (from 32768 on Linux, 49152 by
# IANA): between our look and the node's own bind nobody is given it by chance.
_LOWEST, _HIGHEST = 12_000, 31_000
_random = Random()


def free_ports(count: int) -> list[int]:
    """So many different ports of loopback that nobody listens on now."""
    found: list[int] = []
    for port in _random.sample(range(_LOWEST, _HIGHEST), 50 * count):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")
