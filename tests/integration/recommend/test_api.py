"""Recommend's answers keep to its description."""

from pathlib import Path

from conftest import Installation
from integration.api_fuzz import fuzz
from integration.recommend.states import random_shop, write_shop
from integration.service import serving

ALLOW = "allow_header_conformance"
"""An item may be called `batch`, so GET, PUT and DELETE are known under the path of the batch route too."""


def test_answers_keep_to_the_description(installation: Installation, tmp_path: Path) -> None:
    with installation.connect() as database:
        write_shop(database, random_shop(7))
    settings = {"WHENCE_DATABASE_URL": installation.url, "WHENCE_NAMESPACE": installation.namespace}
    with serving("recommend", tmp_path, **settings) as service:
        done = fuzz(service, tmp_path, ALLOW)
    assert done.returncode == 0, done.stdout + done.stderr
