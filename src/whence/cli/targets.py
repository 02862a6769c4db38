"""Where a command finds the stores: a setting says it, else the `endpoints.json` of a running `whence up`."""

from whence.domain.errors import DependencyUnavailable
from whence.embedded.state import StateFolder
from whence.embedded.stores import on_embedded_kafka
from whence.kit.settings import Settings, variable


def database_url(settings: Settings) -> str:
    """The database of the scores."""
    return _find(settings, "database_url", settings.database_url)


def log_url(settings: Settings) -> str:
    """The event log; the scores' database holds it unless a setting says otherwise."""
    return _find(settings, "log_url", settings.log_url or settings.database_url)


def log_settings(settings: Settings) -> Settings:
    """The settings with the URL of the event log; the embedded Kafka is spoken to plainly, whatever they say."""
    url = log_url(settings)
    ours = not settings.log_url and any(part.name == "kafka" for part in StateFolder(settings.state).parts())
    return on_embedded_kafka(settings, url) if ours else settings.model_copy(update={"log_url": url})


def _find(settings: Settings, name: str, setting: str) -> str:
    """The setting's value, else the running installation's.

    Raises:
        DependencyUnavailable: If there is neither.
    """
    if setting:
        return setting
    running = StateFolder(settings.state).endpoints()
    if running is not None and (found := running.get(name)):
        return found
    raise DependencyUnavailable(
        "postgresql", f"nothing runs from {settings.state}: start it with `whence up`, or set {variable(name)}"
    )
