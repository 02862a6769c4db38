"""Bringing the stores to this version: the tables of the scores, and the event log."""

from whence.kit.settings import Settings


def prepare_stores(settings: Settings) -> list[str]:
    """Apply what is missing to the stores of the settings.

    Returns:
        What was done, one line each; empty if they were of this version.
    """
    from whence.eventlog.adapters import prepare
    from whence.eventlog.places import log_place
    from whence.kit.migrate import migrate

    steps = prepare(log_place(settings)) + migrate(settings.database_url, settings.namespace, ["scores"])
    return [step if " " in step else f"{step} applied" for step in steps]


def missing_steps(settings: Settings) -> list[str]:
    """What `prepare_stores` would apply now."""
    from whence.eventlog.adapters import missing
    from whence.eventlog.places import log_place
    from whence.kit.migrate import pending

    return missing(log_place(settings)) + pending(settings.database_url, settings.namespace, ["scores"])
