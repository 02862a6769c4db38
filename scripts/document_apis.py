"""Write the API descriptions to `docs/openapi/`; a test compares them with the code."""

import importlib
import json
from pathlib import Path

SERVICES = ("ingest", "recommend")

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "openapi"


def described(service: str) -> str:
    """The description of a service as it stands in its file."""
    description = importlib.import_module(f"whence.{service}.app").describe()
    return json.dumps(description, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for service in SERVICES:
        (FOLDER / f"{service}.json").write_text(described(service), encoding="utf-8")


if __name__ == "__main__":
    main()
