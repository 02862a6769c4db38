"""`whence evaluate`: replay a log through the product and report how good its lists would have been."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from whence.cli import console
from whence.cli.importing import File, FileFormat
from whence.cli.options import Json, settings_with

if TYPE_CHECKING:
    from whence.evaluation.prequential import Protocol
    from whence.evaluation.run import Result
    from whence.kit.settings import Settings

SHOWN = (
    "queries ndcg_at_10 ndcg_at_10_error hr_at_20 hr_at_20_error recall_at_20 mrr_at_20 coverage novelty_bits seconds"
)
"""The columns of the table; `--json` has all figures."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)


def evaluate(
    file: File,
    start: Annotated[str, typer.Option("--from", metavar="T", help="first moment that is asked, RFC 3339")],
    end: Annotated[str, typer.Option("--to", metavar="T", help="end of the window, exclusive")],
    targets: Annotated[
        Literal["unseen", "all"], typer.Option(help="items new to the user, or every next item")
    ] = "unseen",
    group_by: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="events that share it are one query", show_default=False)
    ] = None,
    limit_queries: Annotated[int | None, typer.Option(min=1, metavar="N", show_default=False)] = None,
    variants: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VARIANT",
            help="what to compare, again for each: whence, popularity, own_scores, no-short, no-long, no-refined, "
            "no-trend, or NAME:key=number,… with numbers of WHENCE_BLEND and weights of event types",
            show_default=False,
        ),
    ] = None,
    tune: Annotated[
        bool, typer.Option("--tune", help="propose a WHENCE_BLEND from the days before --from, and report it too")
    ] = False,
    freeze: Annotated[
        Literal["nothing", "lists", "all"],
        typer.Option(help="what is not renewed in the window: the lists that all users share, or anything at all"),
    ] = "nothing",
    report: Annotated[
        str | None, typer.Option(metavar="FILE", help="also write a report, .html or .md", show_default=False)
    ] = None,
    file_format: FileFormat = None,
    as_json: Json = False,
) -> None:
    """Replay a log through the product, beside popularity and the user's own scores.

    Before each event of the window a list is asked for from everything earlier, scored against what came next, and the
    event is learnt. Figures are percent, ranked over all items. Nothing of your data is touched: it runs in a database
    schema of its own. A run that was killed goes on where it was when it is started again.
    """
    import os

    # Thousands of small systems: threads of the linear algebra would only wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from whence.cli.evaluation_report import check_report, write_report
    from whence.cli.moments import moment
    from whence.evaluation.prequential import Protocol

    if report:
        check_report(report)
    protocol = Protocol((moment("--from", start), moment("--to", end)), targets, limit_queries, freeze)
    found = _run(file, file_format, group_by, protocol, variants or (), tune=tune)
    if report:
        write_report(report, found, protocol, file)
    if as_json:
        console.answer(found.figures)
    else:
        _show(found)


def _run(
    file: str,
    file_format: Literal["jsonl", "csv", "parquet"] | None,
    group_by: str | None,
    protocol: "Protocol",
    words: Sequence[str],
    *,
    tune: bool,
) -> "Result":
    from whence import __version__
    from whence.cli.evaluation_log import digest_of, read_groups
    from whence.cli.evaluation_progress import EvaluationProgress
    from whence.evaluation.run import evaluate as run
    from whence.evaluation.variants import parse_variants

    settings = settings_with()
    types = settings.types()
    comparison = parse_variants(words, settings.mixture(), types)
    groups = read_groups(file, file_format, group_by)
    key = repr((digest_of(file), group_by, protocol, comparison, types, tune, __version__))
    with _database(settings, key) as url, EvaluationProgress() as progress:
        blend = settings.mixture() if tune else None
        return run(url, groups, types, protocol, comparison, key, progress, tune=blend)


def _show(found: "Result") -> None:
    names = SHOWN.split()
    rows = [[name, *(f"{row[one]:g}" for one in names)] for name, row in found.figures.items()]
    console.table(["variant", *names], rows)
    for name, row in found.figures.items():
        if row.get("blend"):
            console.say(f"{name}: WHENCE_BLEND={row['blend']}")


@contextmanager
def _database(settings: "Settings", key: str) -> Iterator[str]:
    """The database of the settings, of the running installation, else an embedded one of this run.

    The latter stays if the run breaks off, so that it can be gone on with.
    """
    import hashlib
    from contextlib import suppress

    from whence.domain.errors import InvalidInput
    from whence.embedded.postgres import EmbeddedPostgres
    from whence.embedded.state import StateFolder

    running = StateFolder(settings.state).endpoints() or {}
    if url := settings.database_url or running.get("database_url"):
        yield url
        return
    server = EmbeddedPostgres(settings.state / f"evaluation-{hashlib.sha256(key.encode()).hexdigest()[:12]}")
    try:
        yield server.start()
    except InvalidInput:
        server.remove()
        raise
    except BaseException:
        server.stop()
        raise
    server.remove()
    with suppress(OSError):
        settings.state.rmdir()
