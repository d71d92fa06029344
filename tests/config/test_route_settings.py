"""Route settings whose values are strengths, shares and counts: how they are written, and what is refused."""

from __future__ import annotations

import pytest

from roles.rules import rules_for
from seawall.config.load import parse
from seawall.config.problems import ConfigError
from seawall.config.schema import Route, Store
from seawall.policy.rules import DEFAULT, Rules

LEAST = "origins: {app: {url: http://127.0.0.1:3000}}\n"


def route(setting: str) -> Route:
    (only,) = parse(f"{LEAST}routes: [{{{setting}}}]\n", "t.yaml").routes
    return only


def rules(setting: str) -> Rules:
    return rules_for(route(setting), Store())


@pytest.mark.parametrize(
    ("written", "beta"), [("true", 1.0), ("false", 0.0), ("0", 0.0), ("1", 1.0), ("0.5", 0.5), ("10", 10.0)]
)
def test_early_refresh_is_a_flag_or_a_strength(written: str, beta: float) -> None:
    assert rules(f"early_refresh: {written}").early_refresh == beta


def test_jitter_and_uses_reach_the_rules() -> None:
    given = rules("ttl_jitter: 0.25, min_uses: 2")
    assert (given.ttl_jitter, given.min_uses) == (0.25, 2)


def test_all_three_are_off_by_default() -> None:
    given = rules("cache: true")
    assert (given.early_refresh, given.ttl_jitter, given.min_uses) == (0.0, 0.0, 1)
    assert (DEFAULT.early_refresh, DEFAULT.ttl_jitter, DEFAULT.min_uses) == (0.0, 0.0, 1)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("early_refresh: -1", "'-1' is not true, false or a number from 0 to 10"),
        ("early_refresh: 10.1", "'10.1' is not true, false or a number from 0 to 10"),
        ("early_refresh: nan", "'nan' is not true, false or a number from 0 to 10"),
        ("early_refresh: [1]", "is not true, false or a number from 0 to 10"),
        ("ttl_jitter: 0.6", "'0.6' is not a number from 0 to 0.5"),
        ("ttl_jitter: 10%", "'10%' is not a number from 0 to 0.5"),
        ("min_uses: 0", "'0' is not a whole number from 1 to 1000000"),
        ("min_uses: 1.5", "'1.5' is not a whole number from 1 to 1000000"),
    ],
)
def test_what_is_neither_is_refused(setting: str, said: str) -> None:
    with pytest.raises(ConfigError, match=setting.partition(":")[0]) as refused:
        route(setting)
    assert said in str(refused.value)
