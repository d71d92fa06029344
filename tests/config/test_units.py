"""Durations and sizes mean what they say, or are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.config.units import NotAnAmount, duration_text, octets, seconds, size_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("500ms", 0.5), ("10s", 10.0), ("5m", 300.0), ("1h", 3600.0), ("7d", 604800.0)),
        *(("0", 0.0), ("0s", 0.0), ("1.5h", 5400.0), ("0.001s", 0.001), ("0.1s", 0.1)),
    ],
)
def test_a_duration_is_seconds(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "+1s", "1 s", "1S", "1M", "1y", "1h30m", "1e3s", "inf", "nan", "١s", "1s\n"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(NotAnAmount):
        seconds(text)


def test_a_bare_number_is_refused_with_the_unit_it_lacks() -> None:
    with pytest.raises(NotAnAmount, match="60s"):
        seconds("60")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("64KiB", 65536),
        ("256MiB", 1 << 28),
        ("2GiB", 1 << 31),
        ("1TiB", 1 << 40),
        ("7B", 7),
        ("4096", 4096),
        ("1.5KiB", 1536),
    ],
)
def test_a_size_is_bytes(text: str, expected: int) -> None:
    assert octets(text) == expected


@pytest.mark.parametrize("text", ["", "KiB", "-1KiB", "1 KiB", "0.3KiB", "1e6", "0x10", "1PiB", "1kib", "64k"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(NotAnAmount):
        octets(text)


def test_kilobytes_are_refused_because_nobody_knows_which() -> None:
    with pytest.raises(NotAnAmount, match="64KiB"):
        octets("64KB")


@given(st.integers(0, 1 << 45))
def test_a_size_that_is_shown_reads_back(value: int) -> None:
    assert octets(size_text(value)) == value


@given(st.integers(0, 10**9))
def test_a_duration_that_is_shown_reads_back(milliseconds: int) -> None:
    value = milliseconds / 1000
    assert seconds(duration_text(value)) == pytest.approx(value, abs=1e-9)
