"""`whence serve`: one service, configured by settings only."""

from typing import Annotated, Literal

import typer

from whence.cli.options import Json, settings_with

Service = Literal["ingest", "aggregate", "recommend"]
"""The services by name."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(
    service: Annotated[Service, typer.Argument(help="which one")],
    host: Annotated[str | None, typer.Option(help="address to listen on (WHENCE_HOST)", show_default=False)] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="7071 ingest, 7072 recommend, 7073 aggregate", show_default=False),
    ] = None,
    parent: Annotated[int | None, typer.Option(hidden=True)] = None,
    as_json: Json = False,
) -> None:
    """Run one service, until it is told to stop.

    Settings alone say how. On SIGTERM it finishes what is under way, within 10 seconds.
    """
    import importlib

    from whence.embedded.parent import end_with_parent
    from whence.embedded.supervisor import PORTS
    from whence.kit import failpoints
    from whence.kit.listening import check_exposure
    from whence.kit.logs import configure_logs
    from whence.kit.memory import tune_allocator

    tune_allocator()
    if parent is not None:
        end_with_parent(parent)
    settings = settings_with()
    if as_json:
        settings = settings.model_copy(update={"log_format": "json"})
    address, number = host or settings.host, port or PORTS[service]
    _check_stores(service, settings.database_url, settings.log_url)
    check_exposure(address, settings.keys(), settings.insecure)
    configure_logs(service, settings)
    failpoints.arm(settings.failpoints)
    importlib.import_module(f"whence.{service}.main").run(settings, address, number)


def _check_stores(service: Service, database_url: str, log_url: str) -> None:
    """Refuse to start without the stores that the service needs."""
    from whence.domain.errors import FieldProblem, InvalidInput

    if database_url or (service == "ingest" and log_url):
        return
    raise InvalidInput(
        [
            FieldProblem(
                "WHENCE_DATABASE_URL",
                f"{service} needs a PostgreSQL: set a postgresql:// URL, or let `whence up` run an embedded one",
            )
        ]
    )
