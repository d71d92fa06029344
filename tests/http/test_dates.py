from __future__ import annotations

from datetime import UTC, datetime
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.http.dates import format_date, parse_date

NOW = datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC).timestamp()
THEN = datetime(2050, 8, 18, 2, 1, 18, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "value",
    [
        "Thu, 18 Aug 2050 02:01:18 GMT",
        "THU, 18 Aug 2050 02:01:18 GMT",
        "Thu, 18 AUG 2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02:01:18 gMT",
        "Mon, 18 Aug 2050 02:01:18 GMT",  # not a Monday
        "Thursday, 18-Aug-50 02:01:18 GMT",
        "thursday, 18-aug-50 02:01:18 gmt",
        "Thu Aug 18 02:01:18 2050",
        "thu AUG 18 02:01:18 2050",
    ],
)
def test_the_three_forms_are_read_in_any_case(value: str) -> None:
    assert parse_date(value, NOW) == THEN


def test_asctime_pads_its_day_with_a_space() -> None:
    assert parse_date("Sun Nov  6 08:49:37 1994", NOW) == 784111777.0


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0",
        "-1",
        "now",
        "Thu, 18 Aug 2050 02:01:18 UTC",
        "Thu, 18 Aug 2050 02:01:18 AEST",
        "Thu, 18 Aug 2050 02:01:18 +0000",
        "Thu, 18 Aug 2050 02:01:18",
        "Thu, 18 Aug 50 02:01:18 GMT",
        "Thu 18 Aug 2050 02:01:18 GMT",
        "18 Aug 2050 02:01:18 GMT",
        "Thu, 18  Aug  2050 02:01:18 GMT",
        "Thu,  18 Aug 2050 02:01:18 GMT",
        "Thu,18 Aug 2050 02:01:18 GMT",
        "Thu, 18-Aug-2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02.01.18 GMT",
        "Thu, 18 Aug 2050 2:01:18 GMT",
        "Thu, 8 Aug 2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02:01 GMT",
        "Thu, 18 Aug 2050 24:01:18 GMT",
        "Thu, 18 Aug 2050 02:60:18 GMT",
        "Thu, 18 Aug 2050 02:01:61 GMT",
        "Thu, 32 Aug 2050 02:01:18 GMT",
        "Thu, 00 Aug 2050 02:01:18 GMT",
        "Thu, 31 Apr 2050 02:01:18 GMT",
        "Thu, 29 Feb 2050 02:01:18 GMT",
        "Thu, 18 Aug 0000 02:01:18 GMT",
        "Thu, 18 Aou 2050 02:01:18 GMT",
        "Xyz, 18 Aug 2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02:01:18 GMT ",
        "Thu, 18 Aug 2050 02:01:18 GMT\n",
        "Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:19 GMT",
        " Thu, 18 Aug 2050 02:01:18 GMT",
        "Thu, 18-Aug-50 02:01:18 GMT",
        "Thursday, 18 Aug 2050 02:01:18 GMT",
        "Thursday, 18-Aug-2050 02:01:18 GMT",
        "Thu Aug 8 02:01:18 2050",
        "Thu Aug 18 02:01:18 50",
        "Thu Aug 18 02:01:18 2050 GMT",
        "Thu, 1\u0668 Aug 2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02:01:1\xb2 GMT",
    ],
)
def test_anything_else_is_none(value: str) -> None:
    assert parse_date(value, NOW) is None


def test_a_leap_second_is_the_second_after() -> None:
    assert parse_date("Sat, 31 Dec 2016 23:59:60 GMT", NOW) == parse_date("Sun, 01 Jan 2017 00:00:00 GMT", NOW)


@pytest.mark.parametrize(
    ("now", "value", "year"),
    [
        ((2026, 7, 1, 12, 0, 0), "Thursday, 18-Aug-50 02:01:18 GMT", 2050),
        ((2026, 7, 1, 12, 0, 0), "Sunday, 06-Nov-94 08:49:37 GMT", 1994),
        ((2026, 7, 1, 12, 0, 0), "Sunday, 01-Jul-76 12:00:00 GMT", 2076),  # fifty years to the second
        ((2026, 7, 1, 12, 0, 0), "Sunday, 01-Jul-76 12:00:01 GMT", 1976),
        ((2026, 7, 1, 12, 0, 0), "Sunday, 02-Jul-76 00:00:00 GMT", 1976),
        ((2026, 7, 1, 12, 0, 0), "Sunday, 30-Jun-76 00:00:00 GMT", 2076),
        ((2026, 7, 1, 12, 0, 0), "Sunday, 01-Jan-77 00:00:00 GMT", 1977),
        ((2026, 7, 1, 12, 0, 0), "Sunday, 01-Jan-00 00:00:00 GMT", 2000),
        ((2090, 1, 1, 0, 0, 0), "Sunday, 01-Jan-10 00:00:00 GMT", 2110),
        ((1999, 12, 31, 0, 0, 0), "Saturday, 01-Jan-00 00:00:00 GMT", 2000),
    ],
)
def test_a_two_digit_year_is_at_most_fifty_years_ahead(now: tuple[int, ...], value: str, year: int) -> None:
    at = parse_date(value, datetime(*now, tzinfo=UTC).timestamp())  # type: ignore[arg-type,misc]
    assert at is not None
    assert datetime.fromtimestamp(at, UTC).year == year


def test_a_two_digit_29_february_of_a_common_year_is_none() -> None:
    assert parse_date("Monday, 29-Feb-27 00:00:00 GMT", NOW) is None


def test_format_is_imf_fixdate() -> None:
    assert format_date(784111777) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert format_date(784111777.999) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert format_date(-0.5) == "Wed, 31 Dec 1969 23:59:59 GMT"


seconds = st.integers(min_value=-62135596800, max_value=253402300799)


@given(seconds)
def test_what_is_written_is_read_back(at: int) -> None:
    assert parse_date(format_date(at), NOW) == at


@given(st.integers(min_value=0, max_value=253402300799))
def test_the_standard_library_writes_the_same(at: int) -> None:
    assert format_date(at) == formatdate(at, usegmt=True)


@given(st.integers(min_value=-2208988800, max_value=4102444800), st.integers(min_value=0, max_value=50 * 365 * 86400))
def test_rfc_850_and_asctime_agree_with_imf_fixdate(now: int, ahead: int) -> None:
    moment = datetime.fromtimestamp(now + ahead, UTC)
    assert parse_date(moment.strftime("%A, %d-%b-%y %H:%M:%S GMT"), now) == now + ahead
    day = f"{moment.day:2}"
    assert parse_date(moment.strftime(f"%a %b {day} %H:%M:%S {moment.year}"), now) == now + ahead


@pytest.mark.parametrize("at", [float("inf"), float("-inf"), 1e300, -1e300, 253402300800.0])
def test_an_instant_beyond_the_calendar_is_written_as_its_end(at: float) -> None:
    assert format_date(at) == ("Fri, 31 Dec 9999 23:59:59 GMT" if at > 0 else "Mon, 01 Jan 0001 00:00:00 GMT")


@given(st.text(max_size=40), st.floats(allow_nan=False))
def test_no_value_raises(value: str, now: float) -> None:
    assert parse_date(value, now) is None
    parse_date("Thursday, 18-Aug-50 02:01:18 GMT", now)


def test_what_was_read_before_does_not_decide_the_century() -> None:
    """The same string at other times, in any order: only what does not depend on `now` may be remembered."""
    value = "Thursday, 18-Aug-50 02:01:18 GMT"
    years = {1960: 1950, 2001: 2050, 2026: 2050, 2101: 2150}
    for asked in [*years, *reversed(years)]:
        at = parse_date(value, datetime(asked, 1, 1, tzinfo=UTC).timestamp())
        assert at is not None
        assert datetime.fromtimestamp(at, UTC).year == years[asked]


def test_a_two_digit_29_february_is_there_in_the_centuries_that_have_one() -> None:
    value = "Tuesday, 29-Feb-00 00:00:00 GMT"
    in_1900, in_2000 = datetime(1899, 1, 1, tzinfo=UTC).timestamp(), datetime(1999, 1, 1, tzinfo=UTC).timestamp()
    leap_day = datetime(2000, 2, 29, tzinfo=UTC).timestamp()
    assert [parse_date(value, now) for now in (in_1900, in_2000, in_1900)] == [None, leap_day, None]


@given(st.sampled_from([" ", "x" * 40, "\n", ", "]), st.booleans())
def test_what_is_longer_than_any_date_is_none(more: str, before: bool) -> None:
    value = "Wednesday, 18-Aug-50 02:01:18 GMT"
    assert parse_date(value, NOW) is not None
    assert parse_date(more + value if before else value + more, NOW) is None
