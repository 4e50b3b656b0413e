"""
Logs: JSON lines that name what happened, and never hold what somebody sent.

A message of an error may quote a request, a row or an address with its password; so may what a library logs.
Of an error a line has the type, its code and where it was raised; of a library's message the constant part.
"""

import errno
import logging
import re
import sys
import threading
import traceback
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, Final

import orjson
import structlog

FRAMES_MAX: Final = 40  # of one error, the innermost
CAUSES_MAX: Final = 5
MESSAGE_LENGTH_MAX: Final = 100
# Where a library's ready-made message may begin to quote: asyncio shows callbacks with their arguments.
_QUOTES: Final = re.compile(r"[<('\":\n]")


def named(error: BaseException) -> str:
    """Return an error's type with its SQLSTATE or errno, and nothing of its message."""
    number = getattr(error, "errno", None)
    code = getattr(error, "sqlstate", None) or errno.errorcode.get(number if isinstance(number, int) else -1)
    return f"{type(error).__name__} {code}" if isinstance(code, str) else type(error).__name__


def told(error: BaseException) -> list[dict[str, Any]]:
    """Return an error and its causes, outermost first, each with the places that it passed through."""
    found: list[dict[str, Any]] = []
    each: BaseException | None = error
    while each is not None and len(found) < CAUSES_MAX:
        frames = traceback.extract_tb(each.__traceback__)[-FRAMES_MAX:]
        found.append(
            {
                "error": named(each),
                "at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
            }
        )
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return found


def configure_logging(process: str, level: str = "info") -> None:
    """Log JSON lines to standard output; `process` is bound to every line."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            tell_exception,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.BytesLoggerFactory(),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    libraries = logging.StreamHandler(sys.stdout)
    libraries.setFormatter(LibraryLines())
    logging.basicConfig(level=logging.WARNING, handlers=[libraries], force=True)
    sys.excepthook = _crashed
    sys.unraisablehook = lambda failed: _log_crash(failed.exc_value)
    threading.excepthook = lambda failed: _log_crash(failed.exc_value)


class LibraryLines(logging.Formatter):
    """A library's record as one of our lines: the constant part of its message, never its arguments."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "event": "library",
            "logger": record.name,
            "level": record.levelname.lower(),
            "message": constant_part(str(record.msg)),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = told(record.exc_info[1])
        return _dumps(line).decode()


def constant_part(message: str) -> str:
    """Return a message up to where it may begin to quote."""
    return _QUOTES.split(message, maxsplit=1)[0][:MESSAGE_LENGTH_MAX].rstrip()


def tell_exception(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put `exception`, as `told` says it, in the place of what is to be shown of an error."""
    failed = event.pop("exc_info", None)
    if failed is True:
        failed = sys.exc_info()
    if isinstance(failed, tuple):
        failed = failed[1]
    if isinstance(failed, BaseException):
        event["exception"] = told(failed)
    return event


def _dumps(value: object, **_: object) -> bytes:
    return orjson.dumps(value, default=_plain)


def _plain(value: object) -> str:
    return named(value) if isinstance(value, BaseException) else str(value)


def _crashed(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
    _log_crash(error)


def _log_crash(error: BaseException | None) -> None:
    if error is not None:
        structlog.get_logger(__name__).critical("crashed", exc_info=error)
