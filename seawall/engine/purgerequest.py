"""`PURGE <url>` on the port that clients use: in front of the engine, closed by default.

Who may: the addresses that the file allows, and whoever shows a token that is good for purging. The method never
reaches an origin, whoever sends it: what a proxy passes on an origin may obey (HAZARDS T66).

    405   nobody may here: neither addresses are allowed, nor was a token shown
    403   others may

An address is that of the connection. Behind a balancer it is the balancer's, so allow tokens there, not addresses.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from seawall.downstream.exchange import Handler, Reply, Request
from seawall.http.headers import Headers, headers
from seawall.http.message import ResponseHead
from seawall.purge.answered import Answered, refusal
from seawall.purge.asked import Asked
from seawall.purge.selection import Selection, canonical_url
from seawall.purge.service import PurgeService

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

METHOD = "PURGE"
SOFT = "fastly-soft-purge"


@dataclass(frozen=True, slots=True)
class Allowed:
    """Who may purge here. `holder` names whose token this is where it is good for purging, else None."""

    networks: tuple[Network, ...] = ()
    holder: Callable[[str], str | None] | None = None

    def by(self, peer: str, fields: Headers) -> str | Answered:
        """Who asks, for the log; or why not."""
        if self.holder is not None and (secret := _bearer(fields)) is not None:
            name = self.holder(secret)
            return refusal(403, "this token does not allow purging") if name is None else name
        if not self.networks:
            return refusal(405, "purging is not offered here")
        if _within(peer, self.networks):
            return peer
        return refusal(403, "this address may not purge")


def with_purge(handle: Handler, service: PurgeService, allowed: Allowed) -> Handler:
    """The handler that carries PURGE out itself and leaves everything else to `handle`."""

    async def handler(request: Request) -> Reply:
        if request.head.method != METHOD:
            return await handle(request)
        if request.body is not None:
            request.body.close()
        return _reply(await _purge(request, service, allowed))

    return handler


async def _purge(request: Request, service: PurgeService, allowed: Allowed) -> Answered:
    by = allowed.by(request.peer, request.head.headers)
    if isinstance(by, Answered):
        return by
    try:
        url = canonical_url(request.head.url)
    except ValueError as error:
        return refusal(400, f"the URL: {error}")
    soft = request.head.headers.get(SOFT, "").strip() == "1"
    return await service.purge(Asked(Selection(urls=(url,)), soft=soft), by)


def _reply(answered: Answered) -> Reply:
    fields: Mapping[str, str] = {"Content-Type": answered.media_type, "Cache-Control": "no-store"}
    if answered.status == 405:
        # RFC 9110 15.5.6 wants Allow. What the origin takes for this URL we cannot know; these always work.
        fields = {**fields, "Allow": "GET, HEAD"}
    head = ResponseHead(answered.status, HTTPStatus(answered.status).phrase, headers(fields.items()))
    return Reply(head, (answered.body,))


def _bearer(fields: Headers) -> str | None:
    """The token of a lone Authorization (RFC 6750 2.1), or None."""
    said = fields.getall("authorization", [])
    if len(said) != 1:
        return None
    scheme, _, token = said[0].partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else None


def _within(peer: str, networks: tuple[Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False  # a Unix socket has none
    # A socket that takes both families shows an IPv4 client as ::ffff:192.0.2.1 (RFC 4291 2.5.5.2).
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    return any(address.version == network.version and address in network for network in networks)
