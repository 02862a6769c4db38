"""What is declared is documented."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_configuration_page_tells_the_settings_as_they_are() -> None:
    words = [sys.executable, str(ROOT / "scripts" / "document_settings.py"), "--check"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
