"""HTTP dates (RFC 9110 5.6.7): three forms read, one written. Instants are seconds since the epoch.

Knows no clock: the century of a two-digit year is judged against the caller's `now`.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import NamedTuple

from seawall.http.memo import Memo

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LONG_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBER = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}

_DAY, _LONG_DAY, _MONTH = "|".join(_DAYS), "|".join(_LONG_DAYS), "|".join(_MONTHS)
# A second of 60 is in the grammar, for leap seconds.
_TIME = r"(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9]|60)"

# The grammar is case-sensitive; THU, AUG and gMT are read all the same, as every browser does. The name of
# the weekday has to be one, but not the right one: nothing is decided by it.
_FORMS = tuple(
    re.compile(pattern, re.ASCII | re.IGNORECASE)
    for pattern in (
        rf"(?:{_DAY}), (?P<day>[0-9]{{2}}) (?P<month>{_MONTH}) (?P<year>[0-9]{{4}}) {_TIME} GMT",
        rf"(?:{_LONG_DAY}), (?P<day>[0-9]{{2}})-(?P<month>{_MONTH})-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        rf"(?:{_DAY}) (?P<month>{_MONTH}) (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)

_EPOCH = date(1970, 1, 1).toordinal()
# What IMF-fixdate can write: the years 1 to 9999.
_FIRST, _LAST = (date.min.toordinal() - _EPOCH) * 86400, (date.max.toordinal() - _EPOCH + 1) * 86400 - 1


def parse_date(value: str, now: float) -> float | None:
    """The instant that a field's value names: IMF-fixdate, the RFC 850 form, or asctime; None for all else.

    None is the whole answer to anything odd (another zone, a missing comma, doubled spaces, trailing text):
    who reads Expires takes it as already expired (RFC 9111 5.3), and no two recipients guess alike.
    """
    named = _NAMED[value]
    if isinstance(named, _TwoDigits):
        return _instant(_full_year(named, now), named.rest)
    return named


_Rest = tuple[int, int, int, int, int]  # month, day, hour, minute, second


class _TwoDigits(NamedTuple):
    """A date of the RFC 850 form: which century it is of depends on when it is read, so that is never remembered."""

    year: int
    rest: _Rest


def _named(value: str) -> float | _TwoDigits | None:
    for form in _FORMS:
        if (match := form.fullmatch(value)) is not None:
            break
    else:
        return None
    day, hour, minute, second = (int(match[part]) for part in ("day", "hour", "minute", "second"))
    rest = (_MONTH_NUMBER[match["month"].lower()], day, hour, minute, second)
    year = int(match["year"])
    return _TwoDigits(year, rest) if len(match["year"]) == 2 else _instant(year, rest)


# All responses of a second have one Date between them, and those of a site a few Last-Modified: 0.05 us from here,
# 2.6 us to read. No date is longer than "Wednesday, 18-Aug-50 02:01:18 GMT".
_NAMED = Memo(_named, longest=33)


def _instant(year: int, rest: _Rest) -> float | None:
    month, day, hour, minute, second = rest
    try:
        days = date(year, month, day).toordinal() - _EPOCH
    except ValueError:  # 31 April, 29 February, year 0
        return None
    return float(days * 86400 + hour * 3600 + minute * 60 + second)


def _full_year(named: _TwoDigits, now: float) -> int:
    """The year meant by the RFC 850 form.

    RFC 9110 5.6.7: "MUST interpret a timestamp that appears to be more than 50 years in the future as
    representing the most recent year in the past that had the same last two digits."
    """
    today = datetime.fromtimestamp(min(max(now, _FIRST), _LAST), UTC)
    limit = today.year + 50
    year = limit - (limit - named.year) % 100
    at_limit = (today.month, today.day, today.hour, today.minute, today.second)
    return year - 100 if year == limit and named.rest > at_limit else year


def format_date(at: float) -> str:
    """IMF-fixdate of the second that `at` lies in: "Sun, 06 Nov 1994 08:49:37 GMT".

    Instants that four digits of a year cannot hold become the nearest that they can.
    """
    return _imf_fixdate(int(min(max(at, _FIRST), _LAST) // 1))


# Measured on 3.11: 0.4 us with the memo, 1.5 us without. Every reply of a second asks for the
# same one; the others are the few Last-Modified and Expires in play.
@lru_cache(maxsize=128)
def _imf_fixdate(second: int) -> str:
    days, rest = divmod(second, 86400)
    day = date.fromordinal(days + _EPOCH)
    return (
        f"{_DAYS[day.weekday()]}, {day.day:02} {_MONTHS[day.month - 1]} {day.year:04}"
        f" {rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02} GMT"
    )
