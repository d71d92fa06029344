r"""A scriptable origin: it answers exactly what a URL or a test asked for, faults included.

An independent witness. It imports nothing of Seawall, so that what it saw and what it sent are never judged by
the parser under test. It is also the web site behind `make run`.

Start it
    origin-stub --listen 127.0.0.1:3000          or `python -m origin_stub`; --listen 127.0.0.1:0 takes a free port
    origin-stub --json                           first line on stdout: {"event":"ready","listen":"127.0.0.1:3000",...}
SIGTERM and SIGINT stop listening, finish what is under way (--drain, 10 s) and exit 0; the same again exits at once.

A site to look at
    /  /static/app.css  /static/NAME.bin  /time  /private  /no-store  /cookie  /vary  /gzip  /tagged  /slow  /error
    /healthz and, for machines, /echo (what arrived, as JSON)  /upload (counts a stream)  /ws (WebSocket echo)
    /events?count=5&every=1s (server-sent events)

One answer, made by its URL
    /make/ANY/PATH?option=value&option=value     or, where queries do not reach the origin,
    /make/option=value&option=value/ANY/PATH
    curl -i '127.0.0.1:3000/make/a?size=1MiB&max-age=60&etag'
    curl -i '127.0.0.1:3000/make/a?size=10KiB&fault=truncate&at=100'
`origin-stub --help` lists every option. Names that begin with `_` are ignored, to make URLs distinct; an unknown
option is 400 with the nearest known one.

Bodies can be checked byte by byte: `origin_stub.body.body_bytes(body_key(path, variant), version, size)`. The answer's
`Stub-Version` tells the version and `Stub-Serial` how many requests its path had seen, which a cache hit repeats.

Answers scripted by a test, by path (exact, with its query, or a prefix that ends in `*`)
    PUT    /_stub/script?path=/a     {"replies": ["status=503", {"size": "1KiB", "header": ["A: b", "C: d"]}]}
                                     used in this order, the last one repeats
    DELETE /_stub/script?path=/a
    POST   /_stub/version?path=/a    the content changes; without a path, all of it
    GET    /_stub/tally?path=/a      counts, the most at once, the last requests with their headers
    GET    /_stub/arrived?path=/a&n=3&timeout=10s   answers once three requests have arrived; 504 if they do not
    POST   /_stub/gate/NAME/open     lets go what waits at `gate=NAME`; ?passes=1 only so many; /shut closes it again
    GET    /_stub/gate/NAME?parked=2&timeout=10s    answers once two replies wait there
    POST   /_stub/reset
Only peers on loopback are heard there, and nothing that came through a proxy; `--control HOST:PORT` moves it to a
port of its own, `--control off` leaves it out.

The same within a test
    async with OriginStub() as stub:
        stub.script("/a", ["size=1KiB&max-age=60&gate=first", "status=503"])
        ...                                      # ask for stub.url + "/a"
        await stub.arrived("/a", 1)
        stub.open("first")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from origin_stub.reply import Early, Fault, Framing, Reply
    from origin_stub.stub import OriginStub

__all__ = ["Early", "Fault", "Framing", "OriginStub", "Reply"]


def __getattr__(name: str) -> object:
    # Loaded when first asked for: aiohttp takes 0.2 s, which `--help` and body checks need not pay.
    if name == "OriginStub":
        from origin_stub.stub import OriginStub

        return OriginStub
    if name in __all__:
        from origin_stub import reply

        return getattr(reply, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
