"""The pages that are there without a script: something to look at, and one example of each way to be cached."""

from __future__ import annotations

import gzip
import html
import time
from collections.abc import Callable
from datetime import UTC, datetime

from aiohttp import web

from origin_stub.grammar import ScriptError, parse_query
from origin_stub.reply import AUTO, Reply

_HTML = ("Content-Type", "text/html; charset=utf-8")
_TEXT = ("Content-Type", "text/plain; charset=utf-8")

_CSS = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;color:#123}\n"
    "h1 img{height:1em;vertical-align:-.1em}code{background:#eef3f7;padding:.1em .3em;border-radius:.2em}\n"
    "td{padding:.15rem 1rem .15rem 0;vertical-align:top}a{color:#06c}\n"
)
_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><path fill="#06c" '
    'd="M2 20h28v8H2zM6 12h8v6H6zm12 0h8v6h-8zM2 4h28v6H2z"/></svg>\n'
)
_JS = 'document.querySelector("#now").textContent = new Date().toISOString();\n'

_TOUR = (
    ("/static/app.css", "an hour in any cache, with ETag and Last-Modified"),
    ("/static/any.bin", "16 KiB that can be checked byte by byte"),
    ("/time", "changes all the time, fresh for 2 s, may be stale for 10 s while it is refreshed"),
    ("/private", "for one user only: never in a shared cache"),
    ("/no-store", "never in any cache"),
    ("/cookie", "sets a cookie, and says max-age all the same"),
    ("/vary", "by Accept-Language: en, de, fr"),
    ("/gzip", "by Accept-Encoding: gzip or plain"),
    ("/tagged", "carries Surrogate-Key: demo tour"),
    ("/slow", "takes a second, then is fresh for 10 s"),
    ("/error", "503 that may be cached for 1 s"),
    ("/redirect", "301 to /static/app.css"),
    ("/echo", "what your request looked like from here"),
    ("/events?count=5", "server-sent events, one a second"),
    ("/make/hello?size=1KiB&max-age=60&etag", "whatever you ask for: see origin-stub --help"),
    ("/make/cut?size=10KiB&fault=truncate&max-age=60", "a body that ends too early"),
)
_GREETINGS = {"en": "Hello", "de": "Guten Tag", "fr": "Bonjour"}


def page(request: web.BaseRequest, target: str) -> Reply | None:
    """The page for this target, or None if there is none. ScriptError if a /make URL cannot be read."""
    path, _, query = target.partition("?")
    if path.startswith("/make/"):
        return _make(path, query)
    if path.startswith("/static/"):
        return _static(path.removeprefix("/static/"))
    found = _PAGES.get(path)
    return None if found is None else found(request)


def not_found(path: str) -> Reply:
    """404, with a way back."""
    shown = html.escape(path)
    text = f'<!doctype html><title>404</title><h1>404</h1><p>No <code>{shown}</code> here. <a href="/">Start</a>\n'
    return Reply(404, headers=(_HTML, ("Cache-Control", "max-age=1")), body=text.encode("utf-8", "replace"))


def unreadable(wrong: ScriptError) -> Reply:
    """400, saying what in the URL is wrong."""
    return Reply(400, headers=(_TEXT, ("Cache-Control", "no-store")), body=f"{wrong}\n".encode("utf-8", "replace"))


def _make(path: str, query: str) -> Reply:
    # Options may stand in the first segment as well, for the sake of routes that drop the query.
    first = path.removeprefix("/make/").partition("/")[0]
    options = "&".join(part for part in (first if "=" in first else "", query) if part)
    return parse_query(options)


def _file(kind: str, text: str | None = None) -> Reply:
    fields = (("Content-Type", kind), ("Cache-Control", "public, max-age=3600"))
    body = None if text is None else text.encode()
    return Reply(headers=fields, body=body, size=16 * 1024, etag=AUTO, last_modified=AUTO)


_FILES = {
    "app.css": _file("text/css", _CSS),
    "app.js": _file("text/javascript", _JS),
    "logo.svg": _file("image/svg+xml", _SVG),
}
_BINARY = _file("application/octet-stream")


def _static(name: str) -> Reply | None:
    return _FILES.get(name) or (_BINARY if name.endswith(".bin") and "/" not in name else None)


def _start(request: web.BaseRequest) -> Reply:
    rows = "".join(
        f'<tr><td><a href="{html.escape(url)}">{html.escape(url)}</a><td>{html.escape(why)}' for url, why in _TOUR
    )
    text = (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Origin stub</title>"
        '<link rel=stylesheet href="/static/app.css">'
        '<h1><img src="/static/logo.svg" alt=""> Origin stub</h1>'
        "<p>A scriptable origin. Look at <code>Age</code>, <code>X-Cache</code> and <code>Cache-Status</code> of these "
        f"through the edge; <code>Stub-Serial</code> counts what reached the origin.</p><table>{rows}</table>"
        '<p>Your clock: <span id=now></span></p><script src="/static/app.js"></script>\n'
    )
    return Reply(headers=(_HTML, ("Cache-Control", "public, max-age=10")), body=text.encode(), etag=AUTO)


def _time(request: web.BaseRequest) -> Reply:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    policy = ("Cache-Control", "public, max-age=2, stale-while-revalidate=10")
    return Reply(headers=(_TEXT, policy), body=f"{now}\n".encode())


def _private(request: web.BaseRequest) -> Reply:
    # Shown back, so that a test can see whose answer it was given.
    who = request.headers.get("Authorization") or request.headers.get("Cookie") or "nobody"
    text = f"Only for: {who}\n".encode("utf-8", "surrogateescape")
    return Reply(headers=(_TEXT, ("Cache-Control", "private, max-age=60")), body=text)


def _no_store(request: web.BaseRequest) -> Reply:
    return Reply(headers=(_TEXT, ("Cache-Control", "no-store")), body=f"{time.time_ns()}\n".encode())


def _cookie(request: web.BaseRequest) -> Reply:
    value = f"sid={time.time_ns():x}; Path=/; HttpOnly; SameSite=Lax"
    return Reply(headers=(_TEXT, ("Cache-Control", "max-age=60"), ("Set-Cookie", value)), body=b"A cookie.\n")


def _vary(request: web.BaseRequest) -> Reply:
    wanted = request.headers.get("Accept-Language", "en")[:2].lower()
    language = wanted if wanted in _GREETINGS else "en"
    fields = (_TEXT, ("Cache-Control", "public, max-age=60"), ("Content-Language", language))
    return Reply(headers=(*fields, ("Vary", "Accept-Language")), body=f"{_GREETINGS[language]}\n".encode())


def _gzip(request: web.BaseRequest) -> Reply:
    text = b"The same words again and again. " * 64 + b"\n"
    fields = (_TEXT, ("Cache-Control", "public, max-age=60"), ("Vary", "Accept-Encoding"))
    if "gzip" not in request.headers.get("Accept-Encoding", ""):
        return Reply(headers=fields, body=text, etag='"words"')
    coded = gzip.compress(text, mtime=0)
    return Reply(headers=(*fields, ("Content-Encoding", "gzip")), body=coded, etag='"words-gzip"')


def _tagged(request: web.BaseRequest) -> Reply:
    fields = (_TEXT, ("Cache-Control", "public, max-age=300"), ("Surrogate-Key", "demo tour"))
    return Reply(headers=fields, body=f"Fetched {time.time_ns()}\n".encode(), etag=AUTO)


def _slow(request: web.BaseRequest) -> Reply:
    return Reply(headers=(_TEXT, ("Cache-Control", "public, max-age=10")), body=b"At last.\n", delay=1.0)


def _error(request: web.BaseRequest) -> Reply:
    return Reply(503, headers=(_TEXT, ("Cache-Control", "max-age=1"), ("Retry-After", "1")), body=b"Not today.\n")


def _redirect(request: web.BaseRequest) -> Reply:
    return Reply(301, headers=(("Location", "/static/app.css"), ("Cache-Control", "max-age=60")))


def _healthz(request: web.BaseRequest) -> Reply:
    return Reply(headers=(_TEXT, ("Cache-Control", "no-store")), body=b"ok\n")


_PAGES: dict[str, Callable[[web.BaseRequest], Reply]] = {
    "/": _start,
    "/time": _time,
    "/private": _private,
    "/no-store": _no_store,
    "/cookie": _cookie,
    "/vary": _vary,
    "/gzip": _gzip,
    "/tagged": _tagged,
    "/slow": _slow,
    "/error": _error,
    "/redirect": _redirect,
    "/healthz": _healthz,
}
