"""Kafka's jars: brought once by Maven into a home folder, from the coordinates in `pom.xml`."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from whence.domain.errors import DependencyUnavailable

POM = Path(__file__).with_name("pom.xml")
COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

DOWNLOAD_TIMEOUT_SECONDS = 900
"""About 54 MB through whatever mirror Maven is set up with."""


def missing_programs() -> list[str]:
    """The programs that Kafka needs here and that are not on the PATH."""
    return [name for name in ("java", "mvn") if shutil.which(name) is None]


def bring_jars(home: Path) -> Path:
    """The folder of Kafka's jars below *home*, brought if it is not there yet or of another version.

    Raises:
        DependencyUnavailable: If Java is missing, or Maven where it is needed, or the download fails.
    """
    jars, stamp = home / "libs", home / "libs.stamp"
    wanted = hashlib.sha256(POM.read_bytes()).hexdigest()
    there = stamp.is_file() and stamp.read_text() == wanted
    if missing := [name for name in missing_programs() if not (there and name == "mvn")]:
        raise DependencyUnavailable(
            "kafka", f"Kafka needs {' and '.join(missing)}: install Java 17 and Maven (`make system-deps`)"
        )
    if there:
        return jars
    shutil.rmtree(jars, ignore_errors=True)
    home.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mvn", "-q", "-B", "-f", str(POM), COPY_DEPENDENCIES, f"-DoutputDirectory={jars.resolve()}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DOWNLOAD_TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise DependencyUnavailable("kafka", f"Maven could not bring Kafka: {(done.stdout + done.stderr)[-2000:]}")
    stamp.write_text(wanted)
    return jars
