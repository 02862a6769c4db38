"""Write docs/configuration.md from the declared settings; `--check` only says whether it is up to date."""

import sys
from pathlib import Path

from pydantic import SecretStr

from whence.kit.settings import SECRETS, Settings, variable

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

INTRODUCTION = """# Configuration

<!-- Made by scripts/document_settings.py from src/whence/kit/settings.py; edit that. -->

Settings are environment variables, or the same names without `WHENCE_` and in lower case in `whence.toml` in the
current folder, where `[log] url = …` is `log_url`. The environment counts more than the file. An unknown name is an
error that suggests the near one. Secrets may be given as `…_FILE`, the path of a file that holds the value, so that
they need not stand in an environment. `whence config show` prints the settings in force and where each comes from,
`whence config check` whether they are right.

`whence up` gives its services all settings in force, and the URLs of the stores that it embeds.

| Variable | Meaning | Default |
|---|---|---|
"""


def page() -> str:
    """The page as the settings are declared now."""
    return INTRODUCTION + "".join(f"| {_names(name)} | {_meaning(name)} | {_default(name)} |\n" for name in _declared())


def _declared() -> list[str]:
    return list(Settings.model_fields)


def _names(name: str) -> str:
    return f"`{variable(name)}`, `…_FILE`" if name in SECRETS else f"`{variable(name)}`"


def _meaning(name: str) -> str:
    return (Settings.model_fields[name].description or "").replace("|", "\\|")


def _default(name: str) -> str:
    default = Settings.model_fields[name].default
    value = default.get_secret_value() if isinstance(default, SecretStr) else default
    text = str(int(value)) if isinstance(value, bool) else str(value)
    return f"`{text}`" if text else "–"


def main() -> None:
    """Write the page, or compare it."""
    if "--check" in sys.argv[1:]:
        sys.exit(0 if PAGE.read_text(encoding="utf-8") == page() else f"{PAGE.name} is old: run {Path(__file__).name}")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
