"""The URLs of a sitemap and of those that it lists (https://www.sitemaps.org/protocol.html), read as they arrive.

Who writes a sitemap is not who reads it: a document type is refused, and with it every entity (billion laughs,
external entities); sizes, counts and depth are bounded by what the protocol allows; what a list names is fetched only
from the same site, and over nothing but HTTP.
"""

from __future__ import annotations

import urllib.request
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from http.client import HTTPException
from typing import IO
from urllib.parse import quote, urlsplit
from xml.parsers import expat

from seawall.purge.selection import canonical_url

# The protocol: "no larger than 50MB (52,428,800 bytes)", uncompressed, and 50,000 URLs, or sitemaps in an index.
MAX_BYTES = 52_428_800
MAX_ENTRIES = 50_000
# An index in an index is beyond the protocol, and found all the same; what lies deeper is a mistake or a trap.
MAX_DEPTH = 2
# All sitemaps of one index together: what is listed is held in memory.
MAX_URLS = 1_000_000
TIMEOUT_SECONDS = 30.0

_CHUNK = 64 * 1024
_MAX_LOC = 8 * 1024
_MAX_NESTING = 32
_GZIP = b"\x1f\x8b"
_ENTRIES = {"urlset": "url", "sitemapindex": "sitemap"}


class BadSitemap(Exception):
    """It cannot be had, or is none; the text says which one and why."""


class Sitemaps:
    """One sitemap, or an index and all that it lists. `skipped` counts entries that no client could request."""

    def __init__(self, url: str) -> None:
        """Raises ValueError for what is no URL."""
        self._url = canonical_url(url)
        self.skipped = 0
        self._seen: set[str] = set()
        self._found = 0
        self._opener = _opener()

    def urls(self) -> Iterator[str]:
        """Canonical URLs in their order, as often as they are listed. Raises BadSitemap, also in the middle."""
        yield from self._read(self._url, 0)

    def _read(self, url: str, depth: int) -> Iterator[str]:
        if url in self._seen:
            return
        self._seen.add(url)
        reader = _Reader(url)
        listed: list[str] = []
        for text in self._entries(url, reader):
            entry = _canonical(text)
            if entry is None:
                self.skipped += 1
            elif reader.is_index:
                listed.append(entry)
            else:
                self._found += 1
                if self._found > MAX_URLS:
                    raise BadSitemap(f"{self._url} leads to more than {MAX_URLS} URLs")
                yield entry
        for entry in listed:
            # "A Sitemap index file can only specify Sitemaps that are found on the same site as the index file."
            if urlsplit(entry).hostname != urlsplit(self._url).hostname:
                raise BadSitemap(f"{url} lists {entry}, which is another site's")
            if depth == MAX_DEPTH:
                raise BadSitemap(f"{url} is an index within an index within an index")
            yield from self._read(entry, depth + 1)

    def _entries(self, url: str, reader: _Reader) -> Iterator[str]:
        try:
            with closing(self._opener.open(url, timeout=TIMEOUT_SECONDS)) as answer:
                for piece in _plain(answer, url):
                    yield from reader.feed(piece)
            yield from reader.end()
        except (OSError, HTTPException) as error:
            raise BadSitemap(f"{url} cannot be had: {error}") from error


def _opener() -> urllib.request.OpenerDirector:
    """urllib's own one reads file: and ftp: too, and would follow a redirect to ftp:."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", "seawall-warm"), ("Accept-Encoding", "gzip")]
    return opener


def _plain(answer: IO[bytes], url: str) -> Iterator[bytes]:
    """The document without gzip, whether that is the transfer's or the file's own. Bounded before it is unpacked."""
    total = 0
    for piece in _unpacked(answer, url):
        total += len(piece)
        if total > MAX_BYTES:
            raise BadSitemap(f"{url} is larger than {MAX_BYTES} bytes")
        yield piece


def _unpacked(answer: IO[bytes], url: str) -> Iterator[bytes]:
    chunk = answer.read(_CHUNK)
    if not chunk.startswith(_GZIP):
        while chunk:
            yield chunk
            chunk = answer.read(_CHUNK)
        return
    unpacker = zlib.decompressobj(wbits=31)
    try:
        while chunk:
            if unpacker.eof:
                unpacker = zlib.decompressobj(wbits=31)  # RFC 1952 2.2: a file is a series of members
            yield unpacker.decompress(chunk, _CHUNK)
            chunk = unpacker.unconsumed_tail or unpacker.unused_data or answer.read(_CHUNK)
    except zlib.error as error:
        raise BadSitemap(f"{url} is broken gzip") from error
    if not unpacker.eof:
        raise BadSitemap(f"{url} is not whole")


class _Reader:
    """One document. `is_index` is known once the first entry is."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.is_index = False
        self._open: list[str] = []
        self._text: list[str] = []
        self._length = 0
        self._locs: list[str] = []
        self._entries = 0
        self._parser = parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        # Entities are declared in a document type, and nowhere else. No sitemap has one.
        parser.StartDoctypeDeclHandler = self._doctype

    def feed(self, piece: bytes) -> Iterable[str]:
        """What the entries that end in this piece say. Raises BadSitemap."""
        return self._parsed(piece, False)

    def end(self) -> Iterable[str]:
        """There is no more. Raises BadSitemap where there should be."""
        return self._parsed(b"", True)

    def _parsed(self, piece: bytes, final: bool) -> list[str]:
        try:
            self._parser.Parse(piece, final)
        except expat.ExpatError as error:
            raise BadSitemap(f"{self._url} is no sitemap: {error}") from error
        found, self._locs = self._locs, []
        return found

    def _doctype(self, *_: object) -> None:
        raise BadSitemap(f"{self._url} has a document type, and may mean anything by that")

    def _start(self, name: str, _: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        if not self._open:
            if local not in _ENTRIES:
                raise BadSitemap(f"{self._url} is no sitemap: it is <{local[:40]}>")
            self.is_index = local == "sitemapindex"
        if len(self._open) >= _MAX_NESTING:
            raise BadSitemap(f"{self._url} is nested too deeply")
        self._open.append(local)
        self._text, self._length = [], 0

    def _characters(self, text: str) -> None:
        if self._in_loc():
            self._length += len(text)
            if self._length <= _MAX_LOC:
                self._text.append(text)

    def _end(self, _: str) -> None:
        if self._in_loc():
            self._entries += 1
            if self._entries > MAX_ENTRIES:
                raise BadSitemap(f"{self._url} has more than {MAX_ENTRIES} entries")
            self._locs.append("".join(self._text).strip() if self._length <= _MAX_LOC else "")
        self._open.pop()

    def _in_loc(self) -> bool:
        """Exactly there: image:loc and the like lie deeper, and are no pages."""
        return len(self._open) == 3 and self._open[2] == "loc" and self._open[1] == _ENTRIES[self._open[0]]


def _canonical(text: str) -> str | None:
    """The URL as a client requests it: without a fragment, and what is not ASCII escaped as UTF-8 (RFC 3987 3.1)."""
    plain = text.partition("#")[0]
    try:
        return canonical_url(plain if plain.isascii() else "".join(c if c.isascii() else quote(c) for c in plain))
    except ValueError:
        return None
