"""What a purge may name, and the one spelling of it that is compared."""

from __future__ import annotations

import json

import pytest

from seawall.purge.selection import (
    MAX_NAMES,
    MAX_PROBLEMS,
    MAX_SELECTION_BYTES,
    MAX_URL_BYTES,
    Problem,
    Selection,
    canonical_tag,
    parse_selection,
)

TOO_LONG = "http://a.example/" + "x" * MAX_URL_BYTES


@pytest.mark.parametrize(
    ("body", "selection"),
    [
        ({"urls": ["http://a.example/x"]}, Selection(urls=("http://a.example/x",))),
        ({"urls": ["HTTP://A.Example:80/X?Q=1"]}, Selection(urls=("http://a.example/X?Q=1",))),
        ({"urls": ["https://a.example:443"]}, Selection(urls=("https://a.example/",))),
        ({"urls": ["https://a.example:80/"]}, Selection(urls=("https://a.example:80/",))),
        ({"urls": ["http://a.example./?b"]}, Selection(urls=("http://a.example/?b",))),
        ({"urls": ["http://a.example?b"]}, Selection(urls=("http://a.example/?b",))),
        ({"urls": ["http://[2001:DB8::0:1]:8080/"]}, Selection(urls=("http://[2001:db8::1]:8080/",))),
        # Never decoded or normalised: the key is not either.
        ({"urls": ["http://a.example/a/../b/%2e%41"]}, Selection(urls=("http://a.example/a/../b/%2e%41",))),
        ({"urls": ["http://a.example/", "http://A.EXAMPLE"]}, Selection(urls=("http://a.example/",))),
        ({"tags": ["a", "A", "a"]}, Selection(tags=("a", "A"))),
        ({"tags": ["items/1", ".*", "a b", "a,b"]}, Selection(tags=("items/1", ".*", "a b", "a,b"))),
        ({"tags": ["café"]}, Selection(tags=("caf\xc3\xa9",))),  # UTF-8, one character an octet
        ({"prefixes": ["https://A.example:443/x"]}, Selection(prefixes=("https://a.example/x",))),
        ({"prefixes": ["A.example/X", "a.example"]}, Selection(prefixes=("a.example/X", "a.example/"))),
        ({"prefixes": ["http://a.example"]}, Selection(prefixes=("http://a.example/",))),
        ({"hosts": ["A.Example", "a.example:8080"]}, Selection(hosts=("a.example", "a.example:8080"))),
        ({"hosts": ["[2001:DB8::1]:80"]}, Selection(hosts=("[2001:db8::1]:80",))),
        ({"all": True}, Selection(all=True)),
        ({"urls": [], "tags": ["t"], "all": False}, Selection(tags=("t",))),
        ({"tags": ["t"], "soft": True}, Selection(tags=("t",))),
    ],
)
def test_what_is_named_gets_its_canonical_form(body: object, selection: Selection) -> None:
    assert parse_selection(body, also=frozenset({"soft"})) == selection


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ([], ""),
        ("all", ""),
        (None, ""),
        ({}, ""),
        ({"urls": []}, ""),
        ({"all": False}, ""),
        ({"all": 1}, "all"),
        ({"all": "true"}, "all"),
        ({"all": None}, "all"),
        ({"all": True, "tags": ["t"]}, "all"),
        ({"url": ["http://a.example/"]}, "url"),
        ({"tags": ["t"], "soft ": True}, "(a member)"),
        ({"tags": ["t"], "<script>": 1}, "(a member)"),
        ({"urls": "http://a.example/"}, "urls"),
        ({"urls": {"0": "http://a.example/"}}, "urls"),
        ({"urls": None}, "urls"),
        ({"urls": [1]}, "urls[0]"),
        ({"urls": [None]}, "urls[0]"),
        ({"urls": ["http://a.example/", ""]}, "urls[1]"),
        ({"urls": ["/x"]}, "urls[0]"),
        ({"urls": ["a.example/x"]}, "urls[0]"),
        ({"urls": ["//a.example/x"]}, "urls[0]"),
        ({"urls": ["ftp://a.example/x"]}, "urls[0]"),
        ({"urls": ["http:///x"]}, "urls[0]"),
        ({"urls": ["http://a.example/#top"]}, "urls[0]"),
        ({"urls": ["http://u:p@a.example/"]}, "urls[0]"),
        ({"urls": ["http://a.example:0/"]}, "urls[0]"),
        ({"urls": ["http://a.example:65536/"]}, "urls[0]"),
        ({"urls": ["http://a_*/"]}, "urls[0]"),
        ({"urls": ["http://a.example/a b"]}, "urls[0]"),
        ({"urls": ["http://a.example/\r\nX: y"]}, "urls[0]"),
        ({"urls": ["http://a.example/é"]}, "urls[0]"),
        ({"urls": ["http://a.example/\x00"]}, "urls[0]"),
        ({"urls": [TOO_LONG]}, "urls[0]"),
        ({"prefixes": [TOO_LONG]}, "prefixes[0]"),
        ({"prefixes": ["http://a.example/x?y"]}, "prefixes[0]"),
        ({"prefixes": ["a.example/#x"]}, "prefixes[0]"),
        ({"prefixes": ["a.example/ x"]}, "prefixes[0]"),
        ({"prefixes": ["/x"]}, "prefixes[0]"),
        ({"prefixes": [""]}, "prefixes[0]"),
        ({"prefixes": ["http://"]}, "prefixes[0]"),
        ({"prefixes": ["a.example" + "/x" * MAX_URL_BYTES]}, "prefixes[0]"),
        ({"hosts": ["http://a.example"]}, "hosts[0]"),
        ({"hosts": ["a.example/"]}, "hosts[0]"),
        ({"hosts": ["*.a.example"]}, "hosts[0]"),
        ({"hosts": [""]}, "hosts[0]"),
        ({"tags": [""]}, "tags[0]"),
        ({"tags": ["a\nb"]}, "tags[0]"),
        ({"tags": ["a\x00"]}, "tags[0]"),
        ({"tags": ["\x7f"]}, "tags[0]"),
        ({"tags": ["\ud800"]}, "tags[0]"),
        ({"tags": ["x" * 16385]}, "tags[0]"),
        ({"tags": ["x" * 16384 + "é"]}, "tags[0]"),
        ({"tags": [["t"]]}, "tags[0]"),
        ({"tags": ["t"] * (MAX_NAMES + 1)}, "tags"),
        ({"tags": [f"t{n}" for n in range(600)], "hosts": [f"h{n}.example" for n in range(401)]}, ""),
        ({"tags": [f"{n}" + "x" * 16000 for n in range(MAX_SELECTION_BYTES // 16000 + 1)]}, ""),
    ],
)
def test_what_cannot_be_meant_is_a_problem_with_its_place(body: object, where: str) -> None:
    problems = parse_selection(body, also=frozenset({"soft"}))
    assert isinstance(problems, list)
    assert [problem.where for problem in problems] == [where]
    assert all(problem.what for problem in problems)


def test_every_problem_of_a_body_is_told_up_to_a_bound() -> None:
    several = parse_selection({"urls": ["/a", "http://ok.example/", "/b"], "tags": [""], "nope": 1})
    assert isinstance(several, list)
    assert [problem.where for problem in several] == ["nope", "urls[0]", "urls[2]", "tags[0]"]
    many = parse_selection({"urls": ["/"] * 900})
    assert isinstance(many, list)
    assert len(many) == MAX_PROBLEMS


def test_a_problem_never_quotes_what_was_sent() -> None:
    secret = "s3cr3t"
    for body in (
        {"urls": [f"http://u:{secret}@a.example/"]},
        {"tags": [f"{secret}\n"]},
        {"hosts": [f"{secret}/"]},
        {f"<{secret}>": 1},
    ):
        problems = parse_selection(body)
        assert isinstance(problems, list)
        assert secret not in repr(problems)


def test_the_longest_tag_that_a_response_can_carry_can_be_purged() -> None:
    assert parse_selection({"tags": ["x" * 16384]}) == Selection(tags=("x" * 16384,))


def test_a_tag_from_a_header_keeps_octets_that_are_not_utf8() -> None:
    assert canonical_tag("\xff\xfe") == "\xff\xfe"


def test_an_escaped_surrogate_in_json_is_a_problem_and_not_an_error() -> None:
    assert parse_selection(json.loads('{"tags": ["\\ud800"]}')) == [Problem("tags[0]", "not valid Unicode")]
