"""Schemathesis over a running service: whatever its description allows or forbids, the answers keep to it."""

import subprocess
import sys
from pathlib import Path

from integration.service import Service
from program import PATIENCE_SECONDS

EXAMPLES = "40"
"""Cases for each operation and phase; the whole run takes well under a minute."""

NEVER = "positive_data_acceptance"
"""A description cannot say that times lie in a window, that ids are not `.`, or how much a context may weigh."""

CONFIG = """[checks.negative_data_rejection]
expected-statuses = [400, 404, 405, 413, 415, 422]
"""
"""A list that is too long is 413 here."""


def fuzz(service: Service, folder: Path, *left_out: str) -> subprocess.CompletedProcess[str]:
    """Run it; exit code 0 if no check failed (but those *left_out*). Everything is derived from one seed."""
    (folder / "schemathesis.toml").write_text(CONFIG)
    words = ["--seed", "1", "--generation-deterministic", "--max-examples", EXAMPLES, "--no-shrink", "--no-color"]
    checks = ["--checks", "all", "--exclude-checks", ",".join((NEVER, *left_out))]
    return subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json", *words, *checks],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE_SECONDS,
        check=False,
    )
