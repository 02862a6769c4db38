"""`whence migrate`, `config` and `openapi`."""

from typing import Annotated

import typer

from whence.cli import console
from whence.cli.options import Json, settings_with

config = typer.Typer(help="the settings in force", no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(migrate)
    app.add_typer(config, name="config")
    app.command()(openapi)


def migrate(
    check: Annotated[bool, typer.Option("--check", help="only say what is missing; exit 1 if something is")] = False,
    as_json: Json = False,
) -> None:
    """Bring the database to this version.

    Safe to run twice and from two places at once.
    """
    from whence.cli.stores import missing_steps, prepare_stores
    from whence.cli.targets import database_url, log_settings

    settings = settings_with()
    targets = log_settings(settings).model_copy(update={"database_url": database_url(settings)})
    steps = missing_steps(targets) if check else prepare_stores(targets)
    if as_json:
        console.answer({"missing" if check else "done": steps})
    else:
        for step in steps:
            console.say(f"{step} is missing" if check else step)
        if not steps:
            console.say("the database is of this version")
    if check and steps:
        raise typer.Exit(1)


@config.command()
def show(as_json: Json = False) -> None:
    """Every setting, its value and its source.

    Secrets are hidden, also the passwords in URLs.
    """
    from whence.kit.settings import load_settings, shown_value, variable

    loaded = load_settings()
    rows = [
        {"name": variable(name), "value": shown_value(name, value), "source": loaded.sources[name]}
        for name, value in loaded.settings
    ]
    if as_json:
        console.answer(rows)
    else:
        console.table(["name", "value", "source"], [[row["name"], row["value"], row["source"]] for row in rows])


@config.command()
def check(as_json: Json = False) -> None:
    """Whether the settings are right.

    Exit 2 with one line for each that is not.
    """
    from whence.kit.listening import check_exposure

    settings = settings_with()
    check_exposure(settings.host, settings.keys(), settings.insecure)
    if as_json:
        console.answer({"ok": True})
    else:
        console.say("the settings are right")


def openapi(
    service: Annotated[str, typer.Argument(help="ingest or recommend", metavar="SERVICE")],
    as_json: Json = False,
) -> None:
    """Print the API description of a service.

    It is JSON, with --json on one line.
    """
    import importlib
    import json

    if service not in ("ingest", "recommend"):
        raise typer.BadParameter(f"{service!r} is not one of 'ingest', 'recommend'", param_hint="SERVICE")
    description = importlib.import_module(f"whence.{service}.app").describe()
    if as_json:
        console.answer(description)
    else:
        console.say(json.dumps(description, indent=2, ensure_ascii=False))
