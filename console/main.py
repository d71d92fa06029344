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
        str | None, typer.Option(metavar="DIR", help="The node's directory.  [default: in the user's state directory]")
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
    admin: Annotated[
        str, typer.Option(envvar="SEAWALL_ADMIN", metavar="URL", help="The node's admin port.")
    ] = "http://127.0.0.1:8081",
    token: Annotated[
        str | None,
        typer.Option(
            envvar="SEAWALL_TOKEN",
            metavar="TOKEN",
            help="Better in the environment: command lines are seen by all users. "
            "A node of this user on this machine needs none.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    from console import stat as command

    raise typer.Exit(command.stat(admin, token, json=json))


def main() -> None:
    """The entry point of `seawall`."""
    app()


if __name__ == "__main__":
    main()
