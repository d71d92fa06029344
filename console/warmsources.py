"""Where the URLs of a warming come from: a file, an access log, a sitemap, or what another node is asked for most.

All of a source is read before the first URL is asked for, and each URL is in its one spelling then.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from console import say
from console.adminclient import Admin, AdminError, admin_at, get, post
from seawall.config.problems import printable, shown
from seawall.http.target import canonical_authority
from seawall.purge.selection import canonical_url

TOP = 1000
MOST_TOP = 10_000  # GET /v1/popular
MAX_FILE_BYTES = 256 << 20


class Misused(Exception):
    """The command cannot mean anything; the text says why."""


class NoUrls(Exception):
    """The source could not be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """One of these is said: a file of URLs, an access log, the URL of a sitemap, or a node.

    `top` is for logs and nodes, `host` for lines of a log that name none. `scheme` takes the place of every URL's own.
    """

    urls: str | None = None
    access_log: str | None = None
    sitemap: str | None = None
    node: str | None = None
    top: int = TOP
    host: str | None = None
    scheme: str | None = None


def urls_of(said: Source, token: str | None) -> list[str]:
    """Each URL once, in the order of its source. Raises Misused, NoUrls, NotAnAdminUrl and AdminError."""
    sources = [name for name in (said.urls, said.access_log, said.sitemap, said.node) if name is not None]
    if len(sources) != 1:
        raise Misused("one of --urls, --access-log, --sitemap and --from is needed")
    if said.scheme not in (None, "http", "https"):
        raise Misused("--scheme takes http or https")
    if not 1 <= said.top <= MOST_TOP:
        raise Misused(f"--top takes 1 to {MOST_TOP}")
    if said.urls is not None:
        found = _of_file(said.urls)
    elif said.access_log is not None:
        found = _of_log(said.access_log, said)
    elif said.sitemap is not None:
        found = _of_sitemap(said.sitemap)
    else:
        found = (each.url for each in popular(admin_at(str(said.node)), token, said.top))
    rewritten = found if said.scheme is None else (_over(said.scheme, url) for url in found)
    return list(dict.fromkeys(rewritten))


class Popular(msgspec.Struct, frozen=True):
    """One URL of /v1/popular, and how often it was asked for lately."""

    url: str
    hits: int = 0


def popular(admin: Admin, token: str | None, top: int) -> list[Popular]:
    """What a node is asked for most, the most asked first. Raises AdminError."""
    return _popular(get(admin, f"/v1/popular?top={top}", token))


def popular_of(admin: Admin, token: str | None, what: Mapping[str, object], top: int, seconds: float) -> list[Popular]:
    """The same of what a purge with these members would meet. Raises AdminError."""
    return _popular(post(admin, "/v1/popular", token, {**what, "top": top}, seconds).document)


def _popular(document: dict[str, object]) -> list[Popular]:
    try:
        return msgspec.convert(document.get("urls"), list[Popular])
    except msgspec.ValidationError:
        raise AdminError("what answers there is no admin port: it names no URLs") from None


def _of_file(file: str) -> Iterator[str]:
    try:
        if file == "-":
            content = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with open(file, "rb") as opened:
                content = opened.read(MAX_FILE_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise Misused(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Misused(f"{file} is not UTF-8") from error
    if len(content) > MAX_FILE_BYTES:
        raise Misused(f"{file} is larger than {MAX_FILE_BYTES >> 20} MiB")
    for row, line in enumerate(text.split("\n"), 1):
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        try:
            yield canonical_url(name)
        except ValueError as error:
            raise Misused(f"{file}:{row}: '{shown(name)}': {error}") from error


def _of_log(file: str, said: Source) -> Iterator[str]:
    from console.warmlog import NotALog, count

    host = said.host or ""
    if host and canonical_authority(host, "") is None:
        raise Misused(f"--host '{shown(host)}': a host or host:port is expected")
    try:
        counted = count(file, host=host, scheme=said.scheme or "http")
    except NotALog as error:
        raise NoUrls(str(error)) from error
    if counted.lines and not counted.understood:
        raise NoUrls(f"{file}: no line is in a known format (common, combined, or JSON with the usual names)")
    if counted.without_host:
        if not len(counted.popularity):
            raise Misused(f"{file} names no host: say it with --host")
        say.error(f"{file}: {counted.without_host} lines name no host and are left out; --host is for them")
    return (url for url, _ in counted.popularity.top(said.top))


def _of_sitemap(url: str) -> Iterator[str]:
    from console.warmsitemap import BadSitemap, Sitemaps

    try:
        sitemaps = Sitemaps(url)
    except ValueError as error:
        raise Misused(f"--sitemap '{shown(url)}': {error}") from error
    try:
        found = list(sitemaps.urls())
    except BadSitemap as error:
        raise NoUrls(printable(str(error))) from error
    if sitemaps.skipped:
        say.error(f"{sitemaps.skipped} entries are no URLs that a client could request, and are left out")
    return iter(found)


def _over(scheme: str, url: str) -> str:
    return canonical_url(f"{scheme}://{url.partition('://')[2]}")
