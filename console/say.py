"""What a command prints: results on standard output, complaints on standard error; colour on terminals only."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from seawall.config.problems import ConfigError, Problem


def line(text: str) -> None:
    """A result. Flushed: who reads it may be waiting for it."""
    print(text, flush=True)


def json_line(value: object) -> None:
    """A result for machines, on one line."""
    print(json.dumps(value, ensure_ascii=True), flush=True)


def error(text: str) -> None:
    """A complaint."""
    print(f"seawall: {text}", file=sys.stderr, flush=True)


def problems(found: ConfigError) -> None:
    """All problems of a configuration, one a line, as editors read them."""
    for problem in found.problems:
        print(problem, file=sys.stderr)
    sys.stderr.flush()


def as_json(problem: Problem) -> dict[str, str | int]:
    """A problem for machines."""
    return {
        "file": problem.file,
        "line": problem.at.line,
        "column": problem.at.column,
        "path": problem.path,
        "message": problem.message,
        "hint": problem.hint,
    }


def on_terminal(stream: TextIO) -> bool:
    """May the stream be given tables, colours and progress? (https://no-color.org is about the colours.)"""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under their headings: drawn on a terminal, aligned by spaces elsewhere."""
    if on_terminal(sys.stdout):
        from rich.console import Console
        from rich.table import Table

        drawn = Table(*columns, title=title, title_justify="left")
        for row in rows:
            drawn.add_row(*row)
        Console().print(drawn, markup=False)
        return
    widths = [max(len(cell) for cell in column) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
