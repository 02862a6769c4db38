"""Bringing the stores to this version: the tables of the scores, and the event log."""

from whence.kit.settings import Settings


def prepare_stores(settings: Settings) -> list[str]:
    """Apply what is missing to the stores of the settings.

    Returns:
        What was done, one line each; empty if they were of this version.
    """
    from whence.eventlog.adapters import prepare
    from whence.kit.migrate import migrate

    log_url = settings.log_url or settings.database_url
    steps = migrate(log_url, settings.namespace, ["log"])
    prepare(log_url, settings.namespace, settings.log_partitions)
    return [f"{step} applied" for step in steps + migrate(settings.database_url, settings.namespace, ["scores"])]


def missing_steps(settings: Settings) -> list[str]:
    """What `prepare_stores` would apply now."""
    from whence.kit.migrate import pending

    log_url = settings.log_url or settings.database_url
    return pending(log_url, settings.namespace, ["log"]) + pending(
        settings.database_url, settings.namespace, ["scores"]
    )
