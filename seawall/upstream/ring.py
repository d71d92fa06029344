"""Who is asked for a key: rendezvous (highest random weight) hashing, so that all who ask agree without talking.

Knows no health and no sockets: the caller walks down the ranking until somebody is fit.
Invariant: of two names, which one ranks first for a key depends on these two alone. So a name that leaves
moves only its own keys, and a name that comes back gets exactly those back.

Not a ring of points (Karger's consistent hashing, as Varnish's shard director has it): with a handful of
parents the points must be many to spread well, and the second choice of all keys of a lost parent is one
neighbour's. Here every name is weighed for every key: about 1 us each, and lost keys spread over all others.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b

_BYTES = 8
_SPAN = 1 << (8 * _BYTES)


def rank(
    key: str,
    names: Sequence[str],
    *,
    weights: Mapping[str, float] | None = None,
    prefer: Collection[str] = (),
) -> list[str]:
    """The names in order of preference for this key, whatever their order here.

    `weights`: shares of the keys, 1.0 where a name is not in it; 0.0 comes last. Raises ValueError for a
    negative one. `prefer`: these come first, ranked among themselves: the names of one's own region.
    """
    # surrogatepass: a key is whatever the request said, and no key may raise. NUL occurs in no URL, so that
    # no two pairs of key and name read the same.
    of_key = blake2b(key.encode("utf-8", "surrogatepass") + b"\0", digest_size=_BYTES)
    scored: list[tuple[bool, float, str]] = []
    for name in names:
        digest = of_key.copy()
        digest.update(name.encode("utf-8", "surrogatepass"))
        drawn = int.from_bytes(digest.digest(), "big")
        score = drawn if weights is None else _weighed(drawn, weights.get(name, 1.0))
        scored.append((name not in prefer, -score, name))
    scored.sort()
    return [name for _, _, name in scored]


def _weighed(drawn: int, weight: float) -> float:
    """Logarithmic weighting: the share of the keys is exactly the share of the weight, and a changed weight
    moves only keys to or from that name. A plain product of hash and weight has neither property."""
    if weight < 0:
        raise ValueError(f"a weight of {weight} is below zero")
    # 53 bits and a half: strictly between 0 and 1, so that the logarithm is finite and below zero.
    return -weight / math.log(((drawn >> 11) + 0.5) / (_SPAN >> 11))
