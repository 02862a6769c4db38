"""Logs: one JSON object (or one readable line) for each event, on stderr, with the secrets taken out."""

import logging
import re
import sys
from collections.abc import Callable
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from whence.kit.secrets import HIDDEN, without_passwords
from whence.kit.settings import Settings

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def configure_logs(service: str, settings: Settings, stream: TextIO | None = None) -> None:
    """Send everything that this process logs, by structlog or by `logging`, to *stream* (stderr) in one form.

    Every line has `time` (UTC), `level`, `event` and `service`. API keys and passwords in URLs never appear.
    """
    target = stream or sys.stderr
    pretty = settings.log_format == "pretty" or (not settings.log_format and target.isatty())
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _naming(service),
    ]
    rendering: list[Processor] = [
        *([] if pretty else [structlog.processors.format_exc_info]),
        structlog.dev.ConsoleRenderer(colors=target.isatty(), timestamp_key="time")
        if pretty
        else structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        _hiding(settings),
    ]
    level = _LEVELS[settings.log_level]
    structlog.configure(
        processors=[*common, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    _configure_stdlib(target, level, common, rendering)


def _configure_stdlib(target: TextIO, level: int, common: list[Processor], rendering: list[Processor]) -> None:
    """Let what libraries log through `logging` come out in the same form."""
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*common, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a closed stderr must not turn every line into a traceback
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)


def _naming(service: str) -> Processor:
    def name(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return name


def _hiding(settings: Settings) -> Callable[[WrappedLogger, str, Any], str]:
    """The last step: the rendered line without secrets, wherever they came from."""
    keys = sorted(settings.keys(), key=len, reverse=True)
    pattern = re.compile("|".join(re.escape(key) for key in keys)) if keys else None

    def hide(_: WrappedLogger, __: str, line: str) -> str:
        shown = without_passwords(line)
        return pattern.sub(HIDDEN, shown) if pattern else shown

    return hide
