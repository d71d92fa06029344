"""What every test run does: it says at the end what it left out."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names each test that was skipped, with its reason: a quiet `s` among hundreds of dots is no notice."""
    skipped = terminalreporter.getreports("skipped")
    if not skipped:
        return
    terminalreporter.section("LEFT OUT", sep="!", yellow=True)
    for report in skipped:
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.line(f"{report.nodeid}: {why.removeprefix('Skipped: ')}", yellow=True)
