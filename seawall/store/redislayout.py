"""How objects lie in Redis: which bucket, which keys, which members of a bucket's index.

Pure. Redis evicts key by key and restores what it likes, so a layout must not become unsafe when any one key is lost:

    {namespace:1:07}:i          the index of bucket 7, a sorted set with all scores 0, and so in the order of octets:
        m<done> <gate> <journal>    the orders that were carried out on this bucket
        t<digest of tag><name>      an object with this tag
        u<name>                     an object; a name begins with its URL, so URLs and prefixes are ranges
    {namespace:1:07}:o:<digest>  the objects of one key, a hash:
        h<name>                     octets of the body, when it was stored (ms), digests of the tags
        v<name>                     head and body (codec.encode)
    {namespace:1:07}:d          an index that was given up: what it names is dead and waits for being swept away
    {namespace:1:07}:l:<digest>  a lease (seawall/flight/lease.py)

Nodes that stand behind others have buckets of their own, by their rank: {namespace:1:2:07}. What a parent keeps and
what its children made of it are two things, and a child that fetches holds a lease that its parent must not wait for.

What the index does not name is not there, whatever lies about. So with the index everything in its bucket is lost,
and nothing can be read that could not be purged. All variants of a URL share a bucket, and a bucket one hash tag: one
slot, one server, one script.

The road not taken: a set for each tag, as is usual. Evicted alone, it would leave objects that no order finds.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import replace

from seawall.policy.entry import Part
from seawall.store.level import Names
from seawall.store.stored import Stored, key_of, stored

# An order touches each of them once, in one pipeline; and a bucket is what one lost key costs.
BUCKETS = 64
TAG_DIGEST_BYTES = 16

_NAMESPACE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LAYOUT = 1  # nodes of two versions share a Redis while they are replaced

# A range of members: where it begins and ends, as ZRANGEBYLEX has it.
Range = tuple[bytes, bytes]
# Above every octet of UTF-8.
_END = b"\xff"
EVERYTHING: Range = (b"[u", b"(v")


class RedisLayout:
    """The names of the keys in one namespace, for nodes of one rank: so many others stand between them and the origin.

    Raises ValueError where it is no namespace.
    """

    __slots__ = ("tags",)

    def __init__(self, namespace: str, rank: int = 0) -> None:
        if not _NAMESPACE.fullmatch(namespace):
            raise ValueError("a namespace is 1 to 64 letters, digits, dots, dashes and underscores")
        # The hash tag of each bucket, without its braces.
        place = f"{namespace}:{_LAYOUT}:{rank}" if rank else f"{namespace}:{_LAYOUT}"
        self.tags = tuple(f"{place}:{bucket:02}" for bucket in range(BUCKETS))

    def index(self, bucket: int) -> bytes:
        return f"{{{self.tags[bucket]}}}:i".encode()

    def dead(self, bucket: int) -> bytes:
        return f"{{{self.tags[bucket]}}}:d".encode()

    def objects(self, bucket: int) -> bytes:
        """What the key of a hash with objects begins with."""
        return f"{{{self.tags[bucket]}}}:o:".encode()

    def object(self, key: str) -> bytes:
        return self.objects(bucket_of(key)) + digest(key)

    def lease(self, key: str) -> bytes:
        return f"{{{self.tags[bucket_of(key)]}}}:l:".encode() + digest(key)


def octets(text: str) -> bytes:
    """As it is written in Redis: any string, in an order in which what begins with another stands behind it."""
    return text.encode("utf-8", "surrogatepass")


def digest(key: str) -> bytes:
    """What Redis's own sha1hex makes of it. It only finds the hash; inside, objects have their full names."""
    return hashlib.sha1(octets(key), usedforsecurity=False).hexdigest().encode()


def bucket_of(key: str) -> int:
    """By the URL in a key or a name. CRC-32: the same on every node, whatever its version."""
    return zlib.crc32(octets(key.partition("\n")[0])) % BUCKETS


def tag_digest(tag: str) -> bytes:
    """Of one length, so that no tag is the beginning of another."""
    return hashlib.blake2b(octets(tag), digest_size=TAG_DIGEST_BYTES).digest()


def facts(item: Stored) -> bytes:
    """The field `h`: the octets of its body, when it was stored, and its tags."""
    stored_ms = max(int(1000 * item.entry.stored_at), 0)
    return b"%d:%d " % (item.body_bytes, stored_ms) + b"".join(map(tag_digest, dict.fromkeys(item.entry.tags)))


def superseded_parts(item: Stored) -> bytes:
    """What the names of the parts begin with that a whole response replaces; nothing for a part."""
    if item.entry.part is not None:
        return b""
    part = stored(item.key, replace(item.entry, part=Part(0, 0, None, "")), ()).name
    return octets(part.removesuffix("0-0"))


def ranges(names: Names) -> list[list[Range]]:
    """For each bucket, where in its index the selected objects stand. Everything is not among them."""
    everywhere = [_beginning(b"t" + tag_digest(tag)) for tag in names.tags]
    everywhere += [_beginning(b"u" + octets(prefix)) for prefix in names.prefixes if "\n" not in prefix]
    found = [list(everywhere) for _ in range(BUCKETS)]
    for url in names.urls:
        if "\n" not in url:
            found[bucket_of(url)] += [_exactly(b"u" + octets(url)), _beginning(b"u" + octets(url) + b"\n")]
    for name in names.exact:
        found[bucket_of(key_of(name))].append(_exactly(b"u" + octets(name)))
    return found


def _beginning(member: bytes) -> Range:
    return b"[" + member, b"(" + member + _END


def _exactly(member: bytes) -> Range:
    return b"[" + member, b"[" + member
