"""`seawall warm`: has a node ask for URLs before its clients do, gently, and says what is stored now.

Where the URLs come from is read whole first: a mistake in the last line must not be found out after an hour. How they
are asked for is in warmrun.py, when to stop in warmguard.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec

from console import say
from console.adminclient import Admin, AdminError, AdminTimeout, NotAnAdminUrl, admin_at, post
from console.exits import Exit
from console.warmguard import Guard
from console.warmpace import Pace
from console.warmresult import Kind, Result, Summary
from console.warmrun import run
from console.warmsources import Misused, NoUrls, Source, urls_of
from console.warmstate import NotAState, State
from seawall.config.problems import shown
from seawall.config.units import NotAnAmount, seconds

RATE = 20.0
MOST_RATE = 10_000.0
AT_ONCE = 4
MOST_AT_ONCE = 64  # the node has eight under way; more only wait there
TIMEOUT = "30s"
MOST_SECONDS = 60.0  # POST /v1/warm
# The node answers within the time-out that it was told; before it, others' URLs may have their turn.
SLACK_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Options:
    """What was said on the command line, beside whom to ask."""

    source: Source
    headers: Sequence[str] = ()
    rate: float = RATE
    at_once: int = AT_ONCE
    timeout: str = TIMEOUT
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Manner:
    """How URLs are asked for. `seconds` is for each."""

    headers: Mapping[str, str] = field(default_factory=dict)
    rate: float = RATE
    at_once: int = AT_ONCE
    seconds: float = 30.0


@dataclass(slots=True)
class Outcome:
    """What became of a warming. `left` are not done: not asked for, or failed; `next` is the first of them, or ""."""

    wanted: int
    summary: Summary = field(default_factory=Summary)
    skipped: int = 0  # done by an earlier run
    left: int = 0
    next: str = ""
    why: str = ""  # it did not go on
    timed_out: bool = False

    @property
    def code(self) -> Exit:
        if self.timed_out:
            return Exit.TIMED_OUT
        failed = self.summary.asked > 0 and self.summary.kinds[Kind.FAILED] == self.summary.asked
        return Exit.FAILED if self.why or failed else Exit.DONE

    def as_json(self) -> dict[str, object]:
        return {
            "state": "stopped" if self.why else "complete",
            "wanted": self.wanted,
            "skipped": self.skipped,
            **self.summary.as_json(),
            "left": self.left,
            "next": self.next or None,
            "stopped": self.why or None,
        }


def warm(admin: str, token: str | None, options: Options, *, json: bool) -> int:
    """Collects the URLs and has the node ask for them."""
    try:
        where = admin_at(admin)
        manner = _manner(options)
        urls = urls_of(options.source, token)
        if not urls:
            raise NoUrls("there is nothing to warm: the source names no URL")
        state = None if options.state is None else State(options.state)
    except (NotAnAdminUrl, NotAState, Misused) as error:
        say.error(str(error))
        return Exit.USAGE
    except AdminTimeout as error:
        say.error(str(error))
        return Exit.TIMED_OUT
    except (AdminError, NoUrls) as error:
        say.error(str(error))
        return Exit.FAILED
    except KeyboardInterrupt:
        say.error("interrupted; nothing was asked for")
        return Exit.FAILED
    try:
        outcome = ask_for(where, token, urls, manner, state)
    finally:
        if state is not None:
            state.close()
    if json:
        say.json_line(outcome.as_json())
    else:
        say.line(describe(outcome))
    if outcome.why:
        say.error(f"stopped: {outcome.why}. {_how_to_go_on(outcome, options.state)}")
    return outcome.code


def ask_for(
    admin: Admin, token: str | None, urls: Sequence[str], manner: Manner, state: State | None = None
) -> Outcome:
    """Has the node ask for these canonical URLs; what a state file says is done is left out."""
    outcome = Outcome(len(urls))
    left = [url for url in urls if state is None or url not in state.done]
    outcome.skipped = len(urls) - len(left)
    guard = Guard()
    done: set[str] = set()

    def ask(url: str) -> Result:
        body = {"urls": [url], "headers": dict(manner.headers), "timeout": f"{manner.seconds * 1000:.0f}ms"}
        return _result(post(admin, "/v1/warm", token, body, manner.seconds + SLACK_SECONDS).document)

    with _progress(len(left), outcome.summary) as advance:

        def each(result: Result) -> str:
            outcome.summary.add(result)
            advance()
            if result.kind is not Kind.FAILED:
                done.add(result.url)
                if state is not None:
                    try:
                        state.add(result.url)
                    except OSError as error:
                        return f"{state.path} cannot be written: {error.strerror}"
            return guard.note(result)

        ended = run(left, ask, each, at_once=manner.at_once, pace=Pace(manner.rate))
    left = [url for url in left if url not in done]
    outcome.left, outcome.next = len(left), left[0] if left else ""
    outcome.why = "interrupted" if ended.interrupted else ended.why
    outcome.timed_out = isinstance(ended.error, AdminTimeout)
    return outcome


def describe(outcome: Outcome) -> str:
    """For people, in one line."""
    said = f"{outcome.summary.asked} of {outcome.wanted} URLs: {outcome.summary}"
    if outcome.skipped:
        said += f"; {outcome.skipped} were done before"
    if outcome.summary.passed["421 scheme"]:
        said += "\nClients reach this node over another scheme than these URLs have: --scheme http or https"
    return said


def _how_to_go_on(outcome: Outcome, state: str | None) -> str:
    place = f"{outcome.left} of {outcome.wanted} URLs are left"
    if outcome.next:
        place += f", the first is {outcome.next}"
    if state is not None:
        return f"{place}; the same command goes on from there"
    return f"{place}; with --state FILE a second run goes on where one stopped"


def _result(document: dict[str, object]) -> Result:
    listed = document.get("urls")
    try:
        return msgspec.convert(listed, list[Result])[0]
    except (msgspec.ValidationError, IndexError):
        raise AdminError("what answers there is no admin port: it names no URL that it has warmed") from None


# --- what is asked for ---


def _manner(options: Options) -> Manner:
    if not 0 < options.rate <= MOST_RATE:
        raise Misused(f"--rate takes more than 0 and at most {MOST_RATE:.0f} a second")
    if not 1 <= options.at_once <= MOST_AT_ONCE:
        raise Misused(f"--concurrency takes 1 to {MOST_AT_ONCE}")
    try:
        timeout = seconds(options.timeout)
    except NotAnAmount as error:
        raise Misused(f"--timeout: {error}" if str(error) else "--timeout takes a duration such as 30s") from error
    if not 0.001 <= timeout <= MOST_SECONDS:
        raise Misused(f"--timeout is for each URL, and at most {MOST_SECONDS:.0f}s")
    fields = {}
    for text in options.headers:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise Misused(f"--header '{shown(text)}': 'Name: value' is expected")
        fields[name.strip()] = value.strip()
    return Manner(fields, options.rate, options.at_once, timeout)


# --- what is said ---


@contextmanager
def _progress(total: int, summary: Summary) -> Iterator[Callable[[], None]]:
    """A bar on a terminal. What it gives is called after each URL."""
    if not say.on_terminal(sys.stderr) or not total:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)

        def advance() -> None:
            kinds = (f"{summary.kinds[kind]} {kind.value}" for kind in Kind if summary.kinds[kind])
            bar.update(task, advance=1, description=", ".join(kinds))

        yield advance
