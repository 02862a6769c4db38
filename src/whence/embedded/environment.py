"""The environment of a child: all settings in force, and no other `WHENCE_` variable."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from whence.kit.settings import PREFIX, Settings, variable


def child_environment(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment with the settings in place of every `WHENCE_` variable, so that all parts agree."""
    inherited = os.environ if environ is None else environ
    kept = {name: value for name, value in inherited.items() if not name.startswith(PREFIX)}
    return kept | {variable(name): _text(value) for name, value in settings if value is not None}


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value.resolve()) if isinstance(value, Path) else str(value)
