"""The command `seawall`: words, flags and help. What each command does is in its own module, imported on use.

Nothing here imports aiohttp, YAML or a role: `seawall --help` takes a tenth of a second, and a node's time to be
ready starts here.
"""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    name="seawall",
    help="An HTTP caching reverse proxy and mini-CDN.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: importing rich for its boxes takes longer than all the rest
    pretty_exceptions_enable=False,  # a trace with local variables would show tokens
)

Json = Annotated[bool, typer.Option("--json", help="One line of JSON for machines.")]
AdminUrl = Annotated[str, typer.Option(envvar="SEAWALL_ADMIN", metavar="URL", help="The node's admin port.")]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="SEAWALL_TOKEN",
        metavar="TOKEN",
        help="Better in the environment: command lines are seen by all users. "
        "A node of this user on this machine needs none.",
    ),
]


def _version(asked: bool) -> None:
    if asked:
        from seawall.telemetry.version import own_version

        typer.echo(f"seawall {own_version()}")
        raise typer.Exit


@app.callback()
def _seawall(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and end.")
    ] = False,
) -> None:
    pass


@app.command(
    help="Run one node: straight on an origin, or one of a topology file. SIGTERM drains it.",
    epilog="Example: seawall serve --origin http://127.0.0.1:3000 --listen 127.0.0.1:8080",
)
def serve(
    origin: Annotated[str | None, typer.Option(metavar="URL", help="The origin, for one node without a file.")] = None,
    config: Annotated[str | None, typer.Option(metavar="FILE", help="The topology file.")] = None,
    node: Annotated[str | None, typer.Option(metavar="NAME", help="Which node of the file to run.")] = None,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where clients connect.  [default: 127.0.0.1:8080]")
    ] = None,
    admin: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The admin port.  [default: 127.0.0.1:8081]")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Keeps what it stores here, through restarts.  [default: in memory only]"),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="As Via and Cache-Status call it.  [default: seawall-PORT]")
    ] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", help="Processes that share the port.")] = None,
    json: Json = False,
) -> None:
    from console import serve as command

    if (origin is None) == (config is None):
        raise typer.BadParameter("one of --origin and --config is needed")
    if origin is not None:
        if node is not None:
            raise typer.BadParameter("--node names a node of a --config file; with --origin say --name")
        options = {"listen": listen, "admin": admin, "data": data, "name": name}
        raise typer.Exit(command.from_origin(origin, **options, workers=workers, json=json))
    flags = {"--listen": listen, "--admin": admin, "--data": data, "--name": name, "--workers": workers}
    given = [flag for flag, value in flags.items() if value is not None]
    if given:
        raise typer.BadParameter(f"{', '.join(given)}: with --config the file says that")
    raise typer.Exit(command.from_file(str(config), node, json=json))


@app.command(
    help="Run every node of a topology file here, each as its own process. Ctrl-C drains and stops all of them.",
    epilog="Example: seawall up configs/demo.yaml",
)
def up(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The topology file.")],
    only: Annotated[str | None, typer.Option(metavar="NAME,…", help="Only these nodes.")] = None,
    json: Json = False,
) -> None:
    from console import up as command

    raise typer.Exit(command.up(file, only, json=json))


@app.command(
    help="Is a topology file valid? Every problem with its line, column and path; exit code 2 if there is one.",
    epilog="Example: seawall check configs/demo.yaml",
)
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The topology file.")],
    json: Json = False,
) -> None:
    from console import check as command

    raise typer.Exit(command.check(file, json=json))


@app.command(
    help="The counters of a running node, once.",
    epilog="Example: seawall stat --admin http://127.0.0.1:8081 --json",
)
def stat(
    admin: AdminUrl = "http://127.0.0.1:8081",
    token: Token = None,
    json: Json = False,
) -> None:
    from console import stat as command

    raise typer.Exit(command.stat(admin, token, json=json))


@app.command(
    help="Forget on every node what is named, and say which node has. Exit codes: 0 done, 1 refused or failed, "
    "2 wrong usage, 3 partial: some node has not confirmed, 4 nothing matched (--fail-if-empty), 5 timed out.",
    epilog="Example: seawall purge --tag product-17 --url https://shop.example/ --wait all --timeout 10s",
)
def purge(
    url: Annotated[list[str] | None, typer.Option(metavar="U", help="Exactly what a client would request.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="T", help="Whatever carries this tag (Surrogate-Key, Cache-Tag).")
    ] = None,
    prefix: Annotated[
        list[str] | None, typer.Option(metavar="P", help="URLs that begin like this, with or without the scheme.")
    ] = None,
    host: Annotated[list[str] | None, typer.Option(metavar="H", help="Everything of a host, on both schemes.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    from_file: Annotated[
        str | None,
        typer.Option(metavar="F", help="A name a line: a URL, or tag, prefix or host before a name. - reads stdin."),
    ] = None,
    soft: Annotated[
        bool, typer.Option("--soft", help="Stale instead of gone: served only as stale responses may be.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what matches, and change nothing.")] = False,
    wait: Annotated[
        str, typer.Option(metavar="all|accepted", help="Until all nodes have it, or until it is written down.")
    ] = "all",
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="The longest wait; the purge goes on.")] = "30s",
    fail_if_empty: Annotated[bool, typer.Option("--fail-if-empty", help="Exit code 4 if nothing matched.")] = False,
    rewarm: Annotated[
        str | None,
        typer.Option(
            metavar="top:N",
            help="Once every node has purged, let this node fetch the N again that it is asked for most.",
        ),
    ] = None,
    admin: AdminUrl = "http://127.0.0.1:8081",
    token: Token = None,
    json: Json = False,
) -> None:
    from console import purge as command

    options = command.Options(
        url or (),
        tag or (),
        prefix or (),
        host or (),
        everything,
        from_file,
        soft,
        dry_run,
        wait,
        timeout,
        fail_if_empty,
        rewarm,
    )
    raise typer.Exit(command.purge(admin, token, options, json=json))


@app.command(
    help="Let a node ask for URLs before its clients do, so that they get hits. Stops by itself where the origin "
    "fails or becomes slow. Exit codes: 0 done, 1 stopped or failed, 2 wrong usage, 5 the node did not answer.",
    epilog="Example: seawall warm --sitemap https://shop.example/sitemap.xml --rate 10 --state warm.state",
)
def warm(
    urls: Annotated[
        str | None, typer.Option(metavar="FILE", help="A URL a line, # before a comment. - reads stdin.")
    ] = None,
    access_log: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="What was asked for most there: combined, common or JSON; gzip; - is stdin."),
    ] = None,
    sitemap: Annotated[
        str | None, typer.Option(metavar="URL", help="A sitemap, or an index of sitemaps; XML or gzip.")
    ] = None,
    node: Annotated[
        str | None, typer.Option("--from", metavar="NODE", help="What the node with this admin URL is asked for most.")
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", help="How many URLs of a log or a node.")] = 1000,
    host: Annotated[str | None, typer.Option(metavar="H", help="For lines of a log that name no host.")] = None,
    scheme: Annotated[
        str | None, typer.Option(metavar="http|https", help="Instead of each URL's own: that of the node's port.")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header", "-H", metavar="'Name: value'", help="Another variant than browsers with gzip and br get."
        ),
    ] = None,
    rate: Annotated[float, typer.Option(metavar="N", help="Requests a second.")] = 20.0,
    concurrency: Annotated[int, typer.Option(metavar="N", help="Requests at a time; the node has 8 under way.")] = 4,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="For each URL, at most 60s.")] = "30s",
    state: Annotated[
        str | None, typer.Option(metavar="FILE", help="What is done is written there, and left out the next time.")
    ] = None,
    admin: AdminUrl = "http://127.0.0.1:8081",
    token: Token = None,
    json: Json = False,
) -> None:
    from console import warm as command
    from console.warmsources import Source

    source = Source(urls, access_log, sitemap, node, top, host, scheme)
    options = command.Options(source, header or (), rate, concurrency, timeout, state)
    raise typer.Exit(command.warm(admin, token, options, json=json))


def main() -> None:
    """The entry point of `seawall`."""
    app()


if __name__ == "__main__":
    main()
