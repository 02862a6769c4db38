"""The API descriptions in `docs/openapi/` are those of the code."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "document_apis.py"

_spec = importlib.util.spec_from_file_location("document_apis", SCRIPT)
assert _spec is not None
assert _spec.loader is not None
document_apis = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(document_apis)


@pytest.mark.parametrize("service", document_apis.SERVICES)
def test_the_committed_description_is_that_of_the_code(service: str) -> None:
    committed = (document_apis.FOLDER / f"{service}.json").read_text(encoding="utf-8")
    assert committed == document_apis.described(service), "run scripts/document_apis.py and read what changed"
