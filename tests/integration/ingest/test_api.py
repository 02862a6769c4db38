"""Ingest's answers keep to its description."""

from pathlib import Path

from conftest import Installation
from integration.api_fuzz import fuzz
from integration.service import serving


def test_answers_keep_to_the_description(installation: Installation, tmp_path: Path) -> None:
    settings = {"WHENCE_DATABASE_URL": installation.url, "WHENCE_NAMESPACE": installation.namespace}
    with serving("ingest", tmp_path, **settings) as service:
        done = fuzz(service, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
