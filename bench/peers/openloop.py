"""Latencies at a fixed rate: requests are due at random instants that no answer can put off.

    python -m bench.peers.openloop --port 8080 --path /o/1 --rate 5000 --seconds 5 --connections 64

wrk waits for an answer before it asks again, so a server that stalls is asked less and looks better than it is
(coordinated omission). Here arrivals are a Poisson process fixed beforehand, and each latency is counted from the
instant a request was due, also where all connections were busy then. wrk2 does the same, but Debian does not have it.

One busy loop that never sleeps, so nothing is added for waking up; Python's part of a latency is some 10 us and the
same for every system, which draws ratios of very small latencies towards 1. `late_p99` says how punctual it was.
"""

from __future__ import annotations

import argparse
import gc
import random
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence

import msgspec

from bench.peers.exchange import Unexpected, read_head, request
from bench.peers.figures import Percentiles

_HOST = "127.0.0.1"
# A server that leaves a request unanswered for so long has failed, and is not only slow.
_GIVE_UP_SECONDS = 10.0


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of them does not exceed (nearest rank)."""
    rank = -(-len(ordered) * share // 1)
    return ordered[max(0, min(len(ordered), int(rank)) - 1)]


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Instants from 0 on, exponentially distributed intervals."""
    chance = random.Random(seed)
    due, now = [], 0.0
    while (now := now + chance.expovariate(rate)) < seconds:
        due.append(now)
    return due


def measure(port: int, path: str, rate: float, seconds: float, connections: int, seed: int = 1) -> Percentiles:
    """Asks at this rate; Unexpected where an answer is not 200 in whole, TimeoutError where one does not come."""
    wanted = request(path)
    sockets = {}
    poll = select.epoll()
    for _ in range(connections):
        each = socket.create_connection((_HOST, port), 5)
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        each.setblocking(False)
        sockets[each.fileno()] = each
        poll.register(each.fileno(), select.EPOLLIN)
    collecting = gc.isenabled()
    gc.disable()
    try:
        # The first exchange of a connection pays for accepting it: one each beforehand, all due at once.
        _loop(poll, sockets, wanted, [0.0] * connections)
        latencies, late = _loop(poll, sockets, wanted, arrivals(rate, seconds, seed))
    finally:
        if collecting:
            gc.enable()
        poll.close()
        for each in sockets.values():
            each.close()
    latencies.sort()
    late.sort()
    p50, p99, p999 = (1e6 * percentile(latencies, share) for share in (0.5, 0.99, 0.999))
    return Percentiles(p50, p99, p999, len(latencies), 1e6 * percentile(late, 0.99))


def _loop(
    poll: select.epoll, sockets: dict[int, socket.socket], wanted: bytes, schedule: list[float]
) -> tuple[list[float], list[float]]:
    """Seconds from due to answered, and from due to sent for those that did not have to wait for a connection."""
    idle = deque(sockets)
    due_of: dict[int, float] = {}
    missing: dict[int, int] = {}
    latencies: list[float] = []
    late: list[float] = []
    clock = time.perf_counter
    start = clock() + 0.05
    next_due, count = 0, len(schedule)
    crowded = False  # is the next one due waiting for a connection?
    while len(latencies) < count:
        now = clock() - start
        if next_due < count and schedule[next_due] <= now and not idle:
            crowded = True
        elif next_due < count and schedule[next_due] <= now:
            number = idle.popleft()
            due = due_of[number] = schedule[next_due]
            next_due += 1
            sockets[number].send(wanted)
            if not crowded:
                late.append(now - due)
            crowded = False
        for number, _ in poll.poll(0):
            got = sockets[number].recv(1 << 16)
            arrived = clock() - start
            if not got:
                raise Unexpected("the connection closed while it was asked")
            left = missing.get(number)
            if left is None:
                end = got.find(b"\r\n\r\n") + 4
                if end < 4:
                    raise Unexpected("a head that came in pieces")  # 300 octets over loopback never do
                status, length = read_head(got[:end])
                if status != 200:
                    raise Unexpected(f"status {status}, not 200")
                left = length + end
            left -= len(got)
            if left > 0:
                missing[number] = left
                continue
            missing.pop(number, None)
            latencies.append(arrived - due_of.pop(number))
            idle.append(number)
        # The oldest stands first: what was due earlier was sent earlier.
        if due_of and now - next(iter(due_of.values())) > _GIVE_UP_SECONDS:
            raise TimeoutError(f"no answer for {_GIVE_UP_SECONDS:g} s")
    return latencies, late


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/")
    parser.add_argument("--rate", type=float, default=5000, help="requests a second")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    found = measure(options.port, options.path, options.rate, options.seconds, options.connections, options.seed)
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
