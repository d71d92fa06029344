"""Durations and sizes as people write them, and back: `90s` is 90.0 seconds, `64KiB` is 65536 bytes."""

from __future__ import annotations

import re
from fractions import Fraction

SECONDS = {"ms": Fraction(1, 1000), "s": Fraction(1), "m": Fraction(60), "h": Fraction(3600), "d": Fraction(86400)}
BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

_AMOUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([A-Za-z]*)\Z", re.ASCII)


class NotAnAmount(ValueError):
    """The text is no duration or size; the message says what to write instead, or is empty."""


def seconds(text: str) -> float:
    """Reads `500ms 10s 5m 1h 7d`; a bare 0 is 0. Raises NotAnAmount.

    A bare number is refused: Varnish takes it for seconds, others for milliseconds or minutes.
    """
    match = _AMOUNT.match(text)
    if match is None:
        raise NotAnAmount
    number, unit = match.groups()
    if not unit:
        if Fraction(number) == 0:
            return 0.0
        raise NotAnAmount(f"say the unit: {number}s")
    if unit not in SECONDS:
        raise NotAnAmount("the units are " + " ".join(SECONDS))
    return float(Fraction(number) * SECONDS[unit])


def octets(text: str) -> int:
    """Reads `64KiB 256MiB 2GiB` or a plain number of bytes. Raises NotAnAmount.

    KB and MB are refused: half of the world means 1000 by them.
    """
    match = _AMOUNT.match(text)
    if match is None:
        raise NotAnAmount
    number, unit = match.groups()
    if unit not in BYTES and unit:
        meant = next((name for name in BYTES if name[0].lower() == unit[0].lower()), None)
        raise NotAnAmount(f"write {number}{meant}" if meant else "the units are " + " ".join(BYTES))
    amount = Fraction(number) * BYTES[unit or "B"]
    if amount.denominator != 1:
        raise NotAnAmount("that is not a whole number of bytes")
    return int(amount)


def duration_text(value: float) -> str:
    """Seconds in the largest unit that leaves a whole number: 3600.0 is `1h`."""
    exact = Fraction(value).limit_denominator(1000)
    if exact == 0:
        return "0s"
    for unit in ("d", "h", "m", "s", "ms"):
        amount = exact / SECONDS[unit]
        if amount.denominator == 1:
            return f"{amount}{unit}"
    return f"{float(exact)}s"


def size_text(value: int) -> str:
    """Bytes in the largest unit that leaves a whole number: 65536 is `64KiB`."""
    if value == 0:
        return "0"
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if value % BYTES[unit] == 0:
            return f"{value // BYTES[unit]}{unit}"
    return f"{value}B"
