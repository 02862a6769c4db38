"""Logs: one form for all, and no secrets in it."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from pydantic import SecretStr

from whence.kit.logs import configure_logs
from whence.kit.settings import Settings


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(False)
    structlog.reset_defaults()


def configured(**settings: object) -> io.StringIO:
    """Logs configured with these settings, into the stream that is returned."""
    stream = io.StringIO()
    configure_logs("ingest", Settings.model_validate(settings), stream)
    return stream


def test_a_line_is_one_json_object_with_time_level_event_and_service() -> None:
    stream = configured()
    structlog.get_logger().info("listening", port=7071)
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {"level": "info", "event": "listening", "service": "ingest", "port": 7071}


def test_what_libraries_log_has_the_same_form() -> None:
    stream = configured()
    logging.getLogger("some.library").warning("%d retries", 3)
    line = json.loads(stream.getvalue())
    assert (line["level"], line["event"], line["service"], line["logger"]) == (
        "warning",
        "3 retries",
        "ingest",
        "some.library",
    )


def test_a_traceback_is_part_of_its_line() -> None:
    stream = configured()
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: broken" in json.loads(line)["exception"]


def test_the_least_level_holds_for_both_ways() -> None:
    stream = configured(log_level="warning")
    structlog.get_logger().info("quiet")
    logging.getLogger("some.library").info("quiet")
    assert stream.getvalue() == ""


def test_keys_and_passwords_never_appear() -> None:
    stream = configured(api_keys=SecretStr("key-1,key-12"))
    structlog.get_logger().error("refused", key="key-12", url="postgresql://shop:hush@db/shop")
    logging.getLogger("psycopg").error("no postgresql://db/shop?user=shop&password=hush for key-1")
    said = stream.getvalue()
    assert "key-1" not in said
    assert "hush" not in said
    assert "postgresql://shop:***@db/shop" in said


def test_pretty_lines_are_for_people() -> None:
    stream = configured(log_format="pretty")
    structlog.get_logger().info("listening", port=7071)
    assert "listening" in stream.getvalue()
    assert not stream.getvalue().startswith("{")
