from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.peers import __main__ as command
from bench.peers import programs
from bench.peers.run import Plan
from bench.peers.scenarios import EVERY, QUICK
from bench.peers.trial import Refused


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The command takes over the signals of its process, which is the tests' here."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["peers", *arguments])
    return command.main()


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plans that would have been run."""
    plans: list[Plan] = []

    def refuse(plan: Plan, say: object) -> None:
        plans.append(plan)
        raise Refused("seawall: hit 1 KiB: 3 of 100 answers were errors")

    monkeypatch.setattr(command, "run", refuse)
    monkeypatch.setattr(command, "install_missing", list)
    return plans


def test_a_refused_run_fails_and_leaves_no_results(
    monkeypatch: pytest.MonkeyPatch, planned: list[Plan], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--out", str(tmp_path / "peers.json")) == 1
    assert "3 of 100 answers were errors" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_usual_run_is_whole_and_a_quick_one_is_short(monkeypatch: pytest.MonkeyPatch, planned: list[Plan]) -> None:
    for arguments in ([], ["--quick"], ["--full"]):
        run(monkeypatch, *arguments)
    usual, quick, full = planned
    assert (usual.rounds, usual.seconds, usual.latency_rate) == (3, 4, 5000)
    assert (quick.rounds, quick.seconds, quick.latency_rate, quick.scenarios) == (3, 2, None, QUICK)
    assert full.scenarios == EVERY
    assert [each.name for each in EVERY if each not in usual.scenarios] == ["stored-1m"]
    assert usual.systems == ["seawall", "nginx", "varnish"]


def test_some_scenarios_and_systems_can_be_chosen(monkeypatch: pytest.MonkeyPatch, planned: list[Plan]) -> None:
    run(monkeypatch, "--only", "pass,hit-1024", "--systems", "nginx", "--latency")
    assert [each.name for each in planned[0].scenarios] == ["pass", "hit-1024"]
    assert (planned[0].systems, planned[0].latency_rate) == (["nginx"], 5000)


def test_a_name_that_there_is_not_is_answered_with_those_there_are(
    monkeypatch: pytest.MonkeyPatch, planned: list[Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--only", "hit-1023") == 1
    assert "no hit-1023; there are hit-1024" in " ".join(capsys.readouterr().err.split())
    assert planned == []


def test_who_is_not_root_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "find", lambda name: None if name in ("wrk", "nginx") else f"/usr/bin/{name}")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda name, **more: "/usr/bin/apt-get")
    with pytest.raises(programs.Missing, match="as root: apt-get install nginx-light wrk"):
        programs.install_missing()


def test_nothing_is_installed_where_all_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "find", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("subprocess.run", lambda *args, **more: pytest.fail("nothing was to be run"))
    assert programs.install_missing() == []


def test_only_the_first_signal_breaks_a_run_off_so_that_what_was_started_can_end() -> None:
    with pytest.raises(KeyboardInterrupt):
        command._stop(signal.SIGTERM, None)
    assert {signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)} == {signal.SIG_IGN}


def test_an_interrupted_run_says_so(
    monkeypatch: pytest.MonkeyPatch, planned: list[Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(plan: Plan, say: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run", interrupted)
    assert run(monkeypatch) == 130
    assert "broken off" in capsys.readouterr().err
