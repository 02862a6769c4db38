"""Recommend's answers keep to its description."""

from pathlib import Path

from conftest import Installation
from integration.api_fuzz import fuzz
from integration.service import serving

LEFT_OUT = (
    "use_after_free",  # an item that left the catalogue still has neighbours: its list of similar ones is no mistake
    "allow_header_conformance",  # `batch` may be an item's id, so its path knows the methods of two descriptions
)


def test_answers_keep_to_the_description(installation: Installation, tmp_path: Path) -> None:
    settings = {"WHENCE_DATABASE_URL": installation.url, "WHENCE_NAMESPACE": installation.namespace}
    with serving("recommend", tmp_path, **settings) as service:
        done = fuzz(service, tmp_path, *LEFT_OUT)
    assert done.returncode == 0, done.stdout + done.stderr
