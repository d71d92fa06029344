"""Every setting of the topology file, declared once: name, kind, unit, bounds, default and one sentence.

Validation (`kinds`), errors, and docs/configuration.md (`document`) follow from these declarations. The values are
what the program uses: seconds, bytes, addresses. Checks that need two settings at once are in `checks`.
"""

# ruff: noqa: RUF009 (setting() makes a dataclass field, which is what belongs there)

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from seawall.config.address import Address, OriginUrl
from seawall.config.kinds import (
    NAME,
    Duration,
    Flag,
    Listen,
    ListOf,
    Name,
    Named,
    OneOf,
    PairsOf,
    Section,
    Share,
    Size,
    Strength,
    Text,
    Url,
    Whole,
    named,
    required,
    setting,
)
from seawall.config.networks import Addresses, Network
from seawall.config.problems import Spot, nearest
from seawall.config.roles import Role
from seawall.http.headers import HOP_BY_HOP
from seawall.http.wire import MAX_FIELDS, MAX_HEAD_BYTES, MAX_TARGET_BYTES
from seawall.policy.rules import DEFAULT, SetCookie

MIB = 1 << 20
GIB = 1 << 30

_TIMEOUT = Duration(least=0.001, most=86400.0)
_PATH = Text("a path of the file system")
WORKERS = Whole(1, 256)
_HOST = Text("a host name", r"[A-Za-z0-9._:\[\]-]+", 255)


# --- origins ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long to wait for an origin before giving up."""

    connect: float = setting(_TIMEOUT, 2.0, "For the connection to stand, TLS included.")
    first_byte: float = setting(_TIMEOUT, 15.0, "From the end of the request to the first byte of the answer.")
    idle: float = setting(_TIMEOUT, 30.0, "The longest silence in the middle of a body.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Probes that take an address of a pool out while it does not answer."""

    path: str = setting(Text("a path such as /healthz", r"/[\x21-\x7e]*"), "/healthz", "What to ask for.")
    interval: float = setting(Duration(least=0.1, most=3600.0), 2.0, "From one probe to the next.")
    timeout: float = setting(_TIMEOUT, 1.0, "For the whole answer; it must be 2xx.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How an https origin proves who it is."""

    verify: bool = setting(Flag(), True, "Check the certificate and the name in it.")
    ca: str | None = setting(_PATH, None, "A PEM file to trust instead of the system's.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where responses come from. One of `url` and `urls` is needed."""

    name: str
    url: OriginUrl | None = setting(Url(), None, "The one address of the origin.")
    urls: tuple[OriginUrl, ...] = setting(ListOf(Url()), (), "A pool of addresses that answer alike.")
    timeouts: Timeouts = setting(Section(Timeouts), Timeouts(), "How long to wait.")
    max_connections: int = setting(
        Whole(1, 65536), 128, "Connections open to one address at a time; further requests wait their turn."
    )
    host: str | None = setting(
        _HOST, None, "The Host to send; without it the origin sees the host that the client asked for."
    )
    tls: Tls = setting(Section(Tls), Tls(), "Certificates.")
    health: Health | None = setting(Section(Health), None, "Probes; without them only real requests tell.")

    @property
    def addresses(self) -> tuple[OriginUrl, ...]:
        """All addresses, whichever of the two settings named them."""
        return self.urls if self.url is None else (self.url, *self.urls)


# --- routes ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which requests a route is for. What is left out matches everything."""

    host: tuple[str, ...] = setting(
        ListOf(Text("a host pattern such as *.example.com", r"[A-Za-z0-9.*_:\[\]-]+", 255), single=True),
        (),
        "Host names; * stands for any characters, and without a port every port matches.",
    )
    path: tuple[str, ...] = setting(
        ListOf(Text("a path pattern such as /static/*", r"[/*][\x21-\x7e]*"), single=True),
        (),
        "Paths without the query, as the client wrote them; * stands for any characters, slashes included.",
    )
    methods: tuple[str, ...] = setting(
        ListOf(Text("a method such as GET", r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", 64), single=True),
        (),
        "Methods, in the case that the client writes (methods have one, RFC 9110 9.1).",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which parameters of the query name a response. What is dropped is not forwarded either."""

    allow: tuple[str, ...] | None = setting(
        ListOf(Text("the name of a parameter")), None, "Only these, in their order of arrival."
    )
    deny: tuple[str, ...] = setting(
        ListOf(Text("the name of a parameter")), (), "Not these; a * at the end stands for any characters."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What of a request names the stored response, beyond scheme, host and path."""

    query: Query = setting(Section(Query), Query(), "Parameters of the query; all of them by default.")
    headers: tuple[str, ...] = setting(
        ListOf(Name(barred=HOP_BY_HOP)), DEFAULT.key.headers, "Request fields whose values name a response too."
    )
    cookies: tuple[str, ...] = setting(
        ListOf(Text("the name of a cookie", r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")),
        DEFAULT.key.cookies,
        "Cookies whose values name a response too.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What to do with the requests that it matches; the first match wins."""

    match: Match = setting(Section(Match), Match(), "Which requests; everything by default.")
    origin: str | None = setting(Text("the name of an origin"), None, "Where they go; by default the only one.")
    cache: bool = setting(Flag(), DEFAULT.cache, "false: always pass, store nothing.")
    ttl: float | None = setting(Duration(), DEFAULT.ttl, "Freshness, whatever the origin said.")
    default_ttl: float | None = setting(Duration(), DEFAULT.default_ttl, "Freshness where the origin said nothing.")
    stale_while_revalidate: float | None = setting(
        Duration(),
        DEFAULT.stale_while_revalidate,
        "How long a stale response may be served while it is refreshed, where the origin said nothing (RFC 5861 3).",
    )
    stale_if_error: float | None = setting(
        Duration(),
        DEFAULT.stale_if_error,
        "How long a stale response may stand in for an error, where the origin said nothing (RFC 5861 4).",
    )
    stale_if_unreachable: float = setting(
        Duration(),
        DEFAULT.stale_if_unreachable,
        "How long a stale response may be served while the origin cannot be reached (RFC 9111 4.2.4).",
    )
    negative_ttl: tuple[tuple[str, float], ...] = setting(
        PairsOf(Text("a status such as 404 or a class such as 5xx", r"[2-5](?:[0-9]{2}|xx)"), Duration()),
        DEFAULT.negative_ttl,
        "Freshness by status where the origin said nothing; a status goes before its class.",
    )
    early_refresh: float = setting(
        Strength(10.0),
        DEFAULT.early_refresh,
        "Refresh what is often asked for in the background shortly before it expires, by chance; "
        "1 is the usual strength (XFetch's beta), more is earlier.",
    )
    ttl_jitter: float = setting(
        Share(0.5),
        DEFAULT.ttl_jitter,
        "Shorten freshness by up to this share, by chance, so that what was stored together does not expire together.",
    )
    min_uses: int = setting(
        Whole(1, 1_000_000),
        DEFAULT.min_uses,
        "Store a response when it is asked for this often within ten to twenty minutes; "
        "until then it is only shared by those who ask at the same time.",
    )
    key: Key = setting(Section(Key), Key(), "What names a stored response.")
    tags: tuple[str, ...] = setting(
        # A tag that a header cannot carry could not be purged as it was written.
        ListOf(Text("a tag without spaces or commas", r"[\x21-\x2b\x2d-\x7e]+")),
        DEFAULT.tags,
        "Tags for everything stored by this route, beside those of the response.",
    )
    set_cookie: SetCookie = setting(
        OneOf(SetCookie),
        DEFAULT.set_cookie,
        "A response that sets a cookie is stored only where sharing was made explicit, stored with it, "
        "stored without it, or passed.",
    )
    request_directives: bool = setting(
        Flag(), DEFAULT.request_directives, "May a client's Cache-Control force a request to the origin?"
    )
    max_object_size: int | None = setting(
        Size(1), None, "Larger bodies stream through and are not stored; by default what the node's store takes."
    )
    max_head_size: int = setting(Size(1024, 16 * MIB), DEFAULT.max_head_bytes, "As max_object_size, for the fields.")
    max_variants: int = setting(Whole(1, 65536), DEFAULT.max_variants, "Variants (Vary) kept of one key.")


# --- stores ---


class Eviction(StrEnum):
    """Which entry leaves when memory is full: the words of Redis, and two algorithms by name."""

    NOEVICTION = "noeviction"
    ALLKEYS_LRU = "allkeys-lru"
    ALLKEYS_LFU = "allkeys-lfu"
    VOLATILE_LRU = "volatile-lru"
    VOLATILE_TTL = "volatile-ttl"
    S3FIFO = "s3fifo"
    TINYLFU = "tinylfu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The first level of every node."""

    size: int = setting(Size(1 << 16), 256 * MIB, "Bodies, fields and their overhead together.")
    eviction: Eviction = setting(OneOf(Eviction), Eviction.S3FIFO, "Which entry leaves when it is full.")
    max_object_size: int = setting(
        Size(1), DEFAULT.max_object_bytes, "Larger bodies are kept on disk, where there is one, or not at all."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The second level, which survives a restart."""

    size: int = setting(Size(MIB), 2 * GIB, "On the file system of the node's data directory.")
    max_object_size: int = setting(Size(1), GIB, "Larger bodies are not stored, whatever a route says.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Redis:
    """A level that several nodes share."""

    url: str = required(
        Text("an address such as redis://127.0.0.1:6379/0", r"rediss?(?:\+(?:sentinel|cluster))?://[\x21-\x7e]+"),
        "Where it is: redis:// or rediss://, with +sentinel or +cluster and several hosts where it is more than one.",
    )
    namespace: str = setting(Text("a short name", NAME), "seawall", "What all keys begin with.")
    max_object_size: int = setting(Size(1, 64 * MIB), 4 * MIB, "Larger bodies are not shared.")
    memory_ttl: float = setting(
        Duration(most=86400.0),
        10.0,
        "How long a node serves from its own memory before it looks whether another has put something newer here.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where responses are kept, level by level."""

    memory: Memory = setting(Section(Memory), Memory(), "In the node's own memory.")
    disk: Disk | None = setting(Section(Disk), None, "On disk; without it, memory only.")
    redis: Redis | None = setting(Section(Redis), None, "In a Redis beside the nodes.")


# --- nodes ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network between this node and its parents that is worse than the real one, to try things out."""

    latency: float = setting(Duration(most=60.0), 0.0, "Added to each way.")
    jitter: float = setting(Duration(most=60.0), 0.0, "Up to this much more, by chance, each time.")
    bandwidth: int | None = setting(Size(1024), None, "Bytes a second each way; without it, as fast as it goes.")
    loss: float = setting(
        Share(0.5), 0.0, "The share of messages that get lost once and are sent again. Nothing arrives wrong."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One process."""

    name: str
    role: Role = required(OneOf(Role), "What it is.")
    listen: Address = required(Listen(), "Where it answers clients, or the nodes that have it as a parent.")
    admin: Address | None = setting(Listen(), None, "Where its admin port is; without it the node has none.")
    parents: tuple[str, ...] = setting(ListOf(Text("the name of a node")), (), "Nodes to ask instead of the origin.")
    region: str | None = setting(Text("a short name", NAME), None, "Nodes of a region are near each other.")
    origin_fallback: bool = setting(
        Flag(), False, "May it ask the origin itself when no parent answers? Without it clients get a 502 or 504."
    )
    link: Link | None = setting(Section(Link), None, "A network made worse on purpose.")
    workers: int = setting(WORKERS, 1, "Processes that share the port, for more than one core.")
    data: str | None = setting(
        _PATH,
        None,
        "The node's directory, relative to the working directory; "
        "by default seawall/NAME in the user's state directory.",
    )
    store: Store | None = setting(Section(Store), None, "Instead of the store that all nodes have by default.")


# --- the rest ---


class Journal(StrEnum):
    """Where purge orders are written down."""

    EMBEDDED = "embedded"
    REDIS = "redis"


_VARIABLE = Text("the name of an environment variable", r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSetting:
    """Where a secret is. One of `env` and `file` is needed; the secret itself never stands here."""

    env: str | None = setting(_VARIABLE, None, "The variable that holds it.")
    file: str | None = setting(_PATH, None, "The file that holds it, on one line.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """How purges reach every node."""

    journal: Journal = setting(OneOf(Journal), Journal.EMBEDDED, "With the hub, or in the store's Redis.")
    hub: str | None = setting(
        Text("the name of a node"), None, "Who numbers the orders; by default the node nearest to the origin."
    )
    lease: float = setting(
        Duration(least=0.1, most=86400.0), 5.0, "A node that has not heard from the hub for this long revalidates all."
    )
    secret: SecretSetting | None = setting(
        Section(SecretSetting),
        None,
        "What the nodes know each other by, the same on all of them; "
        "without it, nodes that listen on loopback only make one for their user.",
    )
    allow: tuple[Addresses, ...] = setting(
        ListOf(Network()),
        (),
        "Clients whose PURGE is carried out without a token; by default nobody's. "
        "Behind a balancer its address is theirs.",
    )


class Scope(StrEnum):
    """What the holder of a token may do on the admin port."""

    READ = "read"
    PURGE = "purge"
    WARM = "warm"


class MetricsAccess(StrEnum):
    """Who may read /metrics."""

    LOOPBACK = "loopback"
    TOKEN = "token"  # noqa: S105 (a word of the file, no secret)
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSetting:
    """A bearer token of the admin port. One of `env` and `file` is needed; the secret itself never stands here."""

    name: str = required(Text("a short name", NAME), "What logs call its holder.")
    env: str | None = setting(_VARIABLE, None, "The variable that holds it.")
    file: str | None = setting(_PATH, None, "The file that holds it, on one line.")
    may: tuple[Scope, ...] = setting(ListOf(OneOf(Scope)), tuple(Scope), "What it is good for; everything by default.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """The admin ports of all nodes."""

    tokens: tuple[TokenSetting, ...] = setting(
        ListOf(Section(TokenSetting)), (), "Who may ask; without any, a node makes a token in its data directory."
    )
    hosts: tuple[str, ...] = setting(
        ListOf(_HOST),
        (),
        "Host names of the admin port, beside localhost and IP addresses; others are refused (DNS rebinding).",
    )
    metrics: MetricsAccess = setting(
        OneOf(MetricsAccess),
        MetricsAccess.LOOPBACK,
        "Who reads /metrics without a token: anyone while the port listens on loopback only, nobody, or anyone.",
    )


class LogFormat(StrEnum):
    """How events are written."""

    HUMAN = "human"
    JSON = "json"


class LogLevel(StrEnum):
    """The least important event that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Events of a node's life, on standard error."""

    format: LogFormat = setting(OneOf(LogFormat), LogFormat.HUMAN, "Lines for people or for machines.")
    level: LogLevel = setting(OneOf(LogLevel), LogLevel.INFO, "The least important event that is written.")


class AccessFormat(StrEnum):
    """How a request is written down."""

    COMBINED = "combined"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLog:
    """One line a request."""

    path: str = required(_PATH, "A file, or the word stdout.")
    format: AccessFormat = setting(
        OneOf(AccessFormat), AccessFormat.COMBINED, "NCSA combined with outcome and seconds appended, or JSON."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a client may do to a node before it is told no."""

    header_timeout: float = setting(
        _TIMEOUT, 10.0, "From the first byte of a request to the end of its header (slowloris)."
    )
    idle_timeout: float = setting(_TIMEOUT, 60.0, "How long a connection may stay open between requests.")
    body_timeout: float = setting(_TIMEOUT, 30.0, "The longest silence of a client in the middle of a request body.")
    send_timeout: float = setting(_TIMEOUT, 60.0, "How long a client may take nothing of a response.")
    max_header_size: int = setting(
        Size(1024, 16 * MIB), MAX_HEAD_BYTES, "Request line and fields together; more is 431."
    )
    max_headers: int = setting(Whole(1, 65536), MAX_FIELDS, "Field lines of a request; more is 431.")
    max_url_size: int = setting(Size(64, MIB), MAX_TARGET_BYTES, "The target of a request; more is 414.")
    max_body_size: int | None = setting(Size(), None, "The body of a request; more is 413. By default no limit.")
    max_connections: int = setting(Whole(1, 1_000_000), 8192, "Clients at a time; more are told 503.")
    drain_timeout: float = setting(
        Duration(most=86400.0), 30.0, "How long requests under way may take after a node was told to stop."
    )


@dataclass(frozen=True, slots=True)
class Source:
    """Where the settings of a tree came from: a file and a place for each path in it."""

    file: str
    spots: Mapping[str, Spot]

    def says(self, path: str) -> bool:
        """Was this setting given, rather than left to its default?"""
        return path in self.spots

    def at(self, path: str) -> Spot:
        """Its line and column, or those of the closest section around it."""
        return nearest(self.spots, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """The whole file. The roles' node.py reads it and hands out values; nothing below sees it."""

    version: int = setting(Whole(1, 1), 1, "Of this format.")
    origins: Mapping[str, Origin] = named(Named(Origin), "Where responses come from, by name.")
    routes: tuple[Route, ...] = setting(
        ListOf(Section(Route), most=4096),
        (),
        "What to do with which requests, first match wins; without any, all go to the only origin.",
    )
    nodes: Mapping[str, Node] = named(Named(Node), "The processes, by name.")
    store: Store = setting(Section(Store), Store(), "Defaults for every node; a node may have its own.")
    purge: Purge = setting(Section(Purge), Purge(), "How purges reach every node.")
    admin: Admin = setting(Section(Admin), Admin(), "The admin ports.")
    log: Log = setting(Section(Log), Log(), "Events, on standard error.")
    access_log: AccessLog | None = setting(Section(AccessLog), None, "One line a request; by default none.")
    limits: Limits = setting(Section(Limits), Limits(), "What a client may do.")
    source: Source = field(default=Source("", {}), compare=False, repr=False)

    def effective_routes(self) -> tuple[Route, ...]:
        """The routes, or the one that stands for none: everything to the only origin."""
        return self.routes or (Route(),)

    def origin_of(self, route: Route) -> Origin:
        """Where a route's requests go. The checks made sure that there is one."""
        if route.origin is not None:
            return self.origins[route.origin]
        (only,) = self.origins.values()
        return only

    def store_of(self, node: Node) -> Store:
        """The node's own store, or the one that all have by default."""
        return self.store if node.store is None else node.store
