"""Sitemaps are read as the protocol has them, and whoever writes one can neither hang nor mislead the reader."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from xml.sax.saxutils import escape

import pytest

from console.warmsitemap import BadSitemap, Sitemaps
from origin_stub import Fault, OriginStub, Reply

SCHEMA = "http://www.sitemaps.org/schemas/sitemap/0.9"
A = "http://a.example"
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE urlset [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><urlset><url><loc>http://a.example/&c;</loc></url></urlset>'
)
EXTERNAL = (
    '<?xml version="1.0"?><!DOCTYPE urlset [<!ENTITY a SYSTEM "{}/secret">]>'
    "<urlset><url><loc>http://a.example/&a;</loc></url></urlset>"
)


class Site:
    """A site with files, and whoever reads its sitemap."""

    def __init__(self, stub: OriginStub) -> None:
        self.stub = stub

    def put(self, path: str, body: bytes | str, *fields: tuple[str, str]) -> str:
        """The file's URL."""
        self.stub.script(path, [Reply(body=body.encode() if isinstance(body, str) else body, headers=fields)])
        return f"{self.stub.url}{path}"

    async def read(self, path: str = "/sitemap.xml") -> list[str]:
        return (await self.told(path))[0]

    async def told(self, path: str = "/sitemap.xml") -> tuple[list[str], int]:
        """The URLs, and how many were skipped."""
        sitemaps = Sitemaps(f"{self.stub.url}{path}")
        return await asyncio.to_thread(lambda: list(sitemaps.urls())), sitemaps.skipped


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with OriginStub() as stub:
        yield Site(stub)


def listing(*urls: str, root: str = "urlset", entry: str = "url") -> str:
    entries = "".join(f"<{entry}><loc>{escape(url)}</loc><lastmod>2026-01-01</lastmod></{entry}>" for url in urls)
    return f'<?xml version="1.0" encoding="UTF-8"?><{root} xmlns="{SCHEMA}">{entries}</{root}>'


def index(*urls: str) -> str:
    return listing(*urls, root="sitemapindex", entry="sitemap")


async def test_the_urls_of_a_sitemap_in_their_order(site: Site) -> None:
    site.put("/sitemap.xml", listing(f"{A}/b?x=1&y=2", "\n  HTTP://A.example:80/a#part \t", f"{A}/ü", "/relative", "x"))
    assert await site.told() == ([f"{A}/b?x=1&y=2", f"{A}/a", f"{A}/%C3%BC"], 2)


async def test_pages_only_not_their_pictures(site: Site) -> None:
    picture = '<image:image xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"><image:loc>{}</image:loc></image:image>'
    body = listing(f"{A}/1").replace("<lastmod>", picture.format(f"{A}/1.jpg") + "<lastmod>")
    site.put("/sitemap.xml", body)
    assert await site.read() == [f"{A}/1"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
async def test_encodings_that_xml_knows(site: Site, encoding: str) -> None:
    site.put("/sitemap.xml", listing(f"{A}/é").replace("UTF-8", encoding).encode(encoding))
    assert await site.read() == [f"{A}/%C3%A9"]


async def test_gzip_of_the_file_and_of_the_transfer(site: Site) -> None:
    urls = [f"{A}/{number}" for number in range(5000)]
    packed = gzip.compress(listing(*urls).encode())
    site.put("/sitemap.xml.gz", packed, ("Content-Type", "application/gzip"))
    assert await site.read("/sitemap.xml.gz") == urls
    site.put("/sitemap.xml", packed, ("Content-Encoding", "gzip"))
    assert await site.read() == urls
    half = len(listing(*urls)) // 2
    members = [gzip.compress(part) for part in (listing(*urls).encode()[:half], listing(*urls).encode()[half:])]
    site.put("/two.gz", b"".join(members))
    assert await site.read("/two.gz") == urls
    for broken in (packed[:-20], packed[:100] + b"\0\0\0\0" + packed[104:]):
        site.put("/broken.gz", broken)
        with pytest.raises(BadSitemap, match=r"gzip|not whole"):
            await site.read("/broken.gz")


async def test_an_index_and_an_index_within_are_followed_and_no_further(site: Site) -> None:
    one = site.put("/1.xml", listing(f"{A}/1"))
    two = site.put("/2.xml", listing(f"{A}/2"))
    inner = site.put("/inner.xml", index(two))
    site.put("/sitemap.xml", index(one, inner, one))
    assert await site.read() == [f"{A}/1", f"{A}/2"]
    assert site.stub.tally("/1.xml").count == 1
    deep = site.put("/deep.xml", index(inner))
    site.put("/sitemap.xml", index(deep))
    with pytest.raises(BadSitemap, match="index within an index"):
        await site.read()


async def test_an_index_that_lists_itself_ends(site: Site) -> None:
    own = f"{site.stub.url}/sitemap.xml"
    site.put("/sitemap.xml", index(own, own))
    assert await site.read() == []
    assert site.stub.total.count == 1


async def test_another_site_is_not_asked(site: Site) -> None:
    async with OriginStub() as other:
        listed = other.url.replace("127.0.0.1", "localhost") + "/other.xml"
        site.put("/sitemap.xml", index(listed))
        with pytest.raises(BadSitemap, match="another site"):
            await site.read()
        assert other.total.count == 0


@pytest.mark.parametrize("entity", ["bomb", "external", "undefined"])
async def test_entities_are_never_expanded_nor_fetched(site: Site, entity: str) -> None:
    body = {
        "bomb": BOMB,
        "external": EXTERNAL.format(site.stub.url),
        "undefined": "<urlset><url><loc>http://a.example/&nbsp;</loc></url></urlset>",
    }[entity]
    site.put("/sitemap.xml", body)
    with pytest.raises(BadSitemap, match="document type" if entity != "undefined" else "undefined entity"):
        await site.read()
    assert site.stub.tally("/secret").count == 0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "no element found"),
        ("<html><body/></html>", "it is <html>"),
        ("<urlset><url><loc>http://a.example/</loc></url>", "no element found"),
        ("<urlset><url></loc></urlset>", "mismatched tag"),
        ("{}", "not well-formed"),
        ("<urlset>" + 100 * "<a>", "nested too deeply"),
        ("\x00\x01\x02", "not well-formed"),
    ],
)
async def test_what_is_no_sitemap_is_told(site: Site, body: str, said: str) -> None:
    site.put("/sitemap.xml", body)
    with pytest.raises(BadSitemap, match=said):
        await site.read()


async def test_sizes_and_counts_are_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(listing(f"{A}/" + 200_000 * "x").encode())
    site.put("/long.xml", bomb)
    assert await site.told("/long.xml") == ([], 1)
    monkeypatch.setattr("console.warmsitemap.MAX_BYTES", 100_000)
    with pytest.raises(BadSitemap, match="larger than 100000 bytes"):
        await site.read("/long.xml")
    monkeypatch.setattr("console.warmsitemap.MAX_ENTRIES", 3)
    site.put("/three.xml", listing(*(f"{A}/{number}" for number in range(3))))
    assert len(await site.read("/three.xml")) == 3
    site.put("/four.xml", listing(*(f"{A}/{number}" for number in range(4))))
    with pytest.raises(BadSitemap, match="more than 3 entries"):
        await site.read("/four.xml")
    monkeypatch.setattr("console.warmsitemap.MAX_URLS", 5)
    site.put("/two.xml", listing(f"{A}/4", f"{A}/5"))
    site.put("/again.xml", listing(f"{A}/6"))
    site.put("/sitemap.xml", index(*(f"{site.stub.url}/{name}.xml" for name in ("three", "two", "again"))))
    with pytest.raises(BadSitemap, match="leads to more than 5 URLs"):
        await site.read()


async def test_redirects_are_followed_but_only_over_http(site: Site) -> None:
    site.put("/moved.xml", listing(f"{A}/1"))
    site.stub.script("/sitemap.xml", [Reply(status=301, headers=(("Location", "/moved.xml"),))])
    assert await site.read() == [f"{A}/1"]
    for elsewhere in ("ftp://127.0.0.1/x", "file:///etc/passwd", "data:text/xml,x"):
        site.stub.script("/sitemap.xml", [Reply(status=302, headers=(("Location", elsewhere),))])
        with pytest.raises(BadSitemap, match="cannot be had"):
            await site.read()


async def test_what_cannot_be_had_is_told(site: Site) -> None:
    site.stub.script("/sitemap.xml", ["status=503"])
    with pytest.raises(BadSitemap, match="503"):
        await site.read()
    whole = listing(f"{A}/1").encode()
    site.stub.script("/sitemap.xml", [Reply(body=whole, fault=Fault.TRUNCATE, at=len(whole) - 3)])
    with pytest.raises(BadSitemap, match="unclosed token"):
        await site.read()
    for url in ("file:///etc/passwd", "/sitemap.xml", "ftp://a.example/", "a.example"):
        with pytest.raises(ValueError):
            Sitemaps(url)


async def test_a_sitemap_is_fetched_as_what_it_is(site: Site) -> None:
    site.put("/sitemap.xml", listing())
    assert await site.read() == []
    asked = site.stub.tally("/sitemap.xml").last[-1]
    assert (asked.header("user-agent"), asked.header("accept-encoding")) == ("seawall-warm", "gzip")
