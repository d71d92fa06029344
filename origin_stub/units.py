"""Sizes and durations as people write them: 16KiB, 1GiB, 250ms, 5s. ValueError says what was expected."""

from __future__ import annotations

import re

_SIZES = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"(\d{1,18})\s?([A-Za-z]*)", re.ASCII)
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)\s?([a-z]*)", re.ASCII)


def size_bytes(text: str) -> int:
    """Bytes: `1024`, `16KiB`, `2MiB`, `1GiB` (and the decimal kB, MB, GB)."""
    found = _SIZE.fullmatch(text)
    if found is None or found[2].lower() not in _SIZES:
        raise ValueError(f"{text!r} is not a size such as 1024, 16KiB or 1GiB")
    return int(found[1]) * _SIZES[found[2].lower()]


def seconds(text: str) -> float:
    """Seconds: `0.5`, `250ms`, `5s`, `1m`, `1h`."""
    found = _DURATION.fullmatch(text)
    if found is None or found[2] not in _SECONDS:
        raise ValueError(f"{text!r} is not a duration such as 250ms, 5s or 1m")
    return float(found[1]) * _SECONDS[found[2]]
