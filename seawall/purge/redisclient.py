"""redis-py's client for the journal: one server, the master that Sentinels name, or a cluster.

Not the connections of the store (seawall/store/redisserver.py): those may send a command a second time after a broken
connection, which costs a cache nothing. An order must not be written twice unseen, so here nothing is repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from seawall.purge.redisledger import Client
from seawall.store.redisurl import Kind, parse_redis_url

# The journal bounds every question as a whole; this is for a host that swallows packets.
CONNECT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Opened:
    """A client, which connects when it is asked something. `alone`: no other server can take this one's place."""

    client: Client
    alone: bool
    sentinels: tuple[Redis, ...] = ()

    async def close(self) -> None:
        """Ends every connection."""
        await self.client.aclose()
        for sentinel in self.sentinels:
            await sentinel.aclose()


def open_client(url: str) -> Opened:
    """Raises ValueError with what is wrong with the URL. Connects to nothing yet."""
    place = parse_redis_url(url)
    options: dict[str, object] = {
        "username": place.user,
        "password": place.password,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": None,
        "retry": Retry(NoBackoff(), 0),
        **({"ssl": True, **dict(place.tls_files)} if place.tls else {}),
    }
    first = place.addresses[0]
    made: object
    sentinels: tuple[Redis, ...] = ()
    match place.kind:
        case Kind.SERVER:
            made = Redis(host=first.host, port=first.port, db=place.db, **options)  # type: ignore[arg-type]
        case Kind.SENTINEL:
            hosts = [(address.host, address.port) for address in place.addresses]
            sentinel = Sentinel(  # type: ignore[no-untyped-call]
                hosts, sentinel_kwargs=dict(options), db=place.db, **options
            )
            made, sentinels = sentinel.master_for(place.service), tuple(sentinel.sentinels)
        case Kind.CLUSTER:
            nodes = [ClusterNode(address.host, address.port) for address in place.addresses]
            made = RedisCluster(startup_nodes=nodes, **options)  # type: ignore[arg-type]
    return Opened(cast(Client, made), alone=place.kind is Kind.SERVER, sentinels=sentinels)
