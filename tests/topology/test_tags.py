"""Tags on their way through two tiers: all of them or none, octet by octet."""

from __future__ import annotations

from pathlib import Path

from tests.topology.city import City, city, edge, own_status, own_word, shield

TOWN = {"shield-1": shield(), "edge-ams": edge("shield-1")}
MOST = 16 * 1024


def tags_of(octets: int) -> list[str]:
    """Tags that are a Surrogate-Key of exactly this length."""
    tags = [f"tag-{number:011d}" for number in range(octets // 16)]
    short = octets - len(" ".join(tags))
    return [*tags[:-1], tags[-1] + "x" * short]


async def counted(town: City, *tags: str) -> int:
    """How many nodes would lose something by a purge of these tags."""
    said = await town.purge("edge-ams", tags=list(tags), dry_run=True)
    assert said.status == 200
    return int(said.document["matched"])


async def test_sixteen_kibibytes_of_tags_are_stored_whole_and_one_octet_more_is_not_stored(tmp_path: Path) -> None:
    async with city(tmp_path, TOWN) as town:
        most, over = tags_of(MOST), tags_of(MOST + 1)
        assert len(" ".join(most)) == MOST
        town.stub.script("/most", [f"body=most&max-age=600&header=Surrogate-Key: {' '.join(most)}"])
        town.stub.script("/over", [f"body=over&max-age=600&header=Surrogate-Key: {' '.join(over)}"])

        got = await town.warm("edge-ams", "/most")
        assert "surrogate-key" not in got.headers
        for tag in (*most[::16], most[-1]):
            assert await counted(town, tag) == 2, f"{tag} on shield and edge"
        assert await counted(town, most[0][:-1], most[0].upper(), "tag-", ".*") == 0

        for _ in range(2):
            got = await town.get("edge-ams", "/over")
            assert (got.status, got.body, own_word(got) == "HIT") == (200, b"over", False)
            assert "surrogate-key" not in got.headers
        assert "stored" not in own_status(got)
        assert town.asked("/over") == 2
        assert await counted(town, *over[:100]) == 2  # of /most, which shares them; nothing of /over

        for tag in (most[0], most[-1], most[500]):
            said = await town.purge("edge-ams", tags=[tag])
            assert (said.status, said.document["matched"]) == (200, 2)
            assert own_word(await town.get("edge-ams", "/most")) == "MISS"
            await town.warm("edge-ams", "/most")


async def test_tag_with_odd_octets_is_the_same_on_every_tier(tmp_path: Path) -> None:
    async with city(tmp_path, TOWN) as town:
        for number, tag in enumerate(("café", "ключ", "a.*b", "100%", "%74", 'say"so"', "\\u0041", "x:y/z?", "[a-z]")):
            path = f"/odd/{number}"
            raw = (
                f"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 3\r\nSurrogate-Key: {tag}\r\n\r\nold"
            )
            town.stub.script(path, {"raw": raw})
            await town.warm("edge-ams", path)
            said = await town.purge("edge-ams", tags=[tag])
            assert (said.status, said.document["matched"]) == (200, 2), tag
            assert (await town.receipt("edge-ams", said.document["id"])).document["tags"] == [tag]
            assert own_word(await town.get("edge-ams", path)) == "MISS"
