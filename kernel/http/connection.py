"""
One connection: what is no request that can be read, and what fails before or after a handler.

aiohttp would answer such a request in plain text that quotes it, and write a traceback of it: here it gets a
problem like any other, which says nothing of what came, and is counted. A flood of nonsense writes no line.
"""

import re
from typing import Any, Final

import structlog
import uuid_utils
from aiohttp import http_exceptions, web
from aiohttp.web_protocol import PayloadAccessError, RequestPayloadError, _ErrInfo

from kernel.errors import DomainError, HeaderTooLargeError, MalformedError, UnknownMethodError
from kernel.http.origins import UNREAD
from kernel.http.web import STOPS, dress, problem, reply_in_ours
from kernel.running.runtime import HTTP_REQUESTS

log = structlog.get_logger(__name__)

# A request's first line, with whatever method, as the parser quotes it.
_ANY_METHOD: Final = re.compile(r"b['\"][\w!#$%&'*+.^`|~-]+ [^ ]+ HTTP/1\.[01]['\"]", re.ASCII)
# What a client did, or had happen to it: its body broke off, or its connection did.
_THEIRS: Final = (http_exceptions.HttpProcessingError, RequestPayloadError, PayloadAccessError)


class Connection(web.RequestHandler):
    """aiohttp's, with our words for what went wrong on it."""

    def data_received(self, data: bytes) -> None:
        """Read what came; whoever waits for a body that the parser gave up is told, and waits no longer."""
        super().data_received(data)
        request = self._current_request
        given_up = self._messages and isinstance(self._messages[-1][0], _ErrInfo)
        if given_up and request is not None and not request.content.is_eof():
            request.content.set_exception(RequestPayloadError())

    def connection_lost(self, exc: BaseException | None) -> None:
        """
        Let go of what the client left behind: the rest of a body that nobody reads is not waited for, and a
        request that `stops` is not gone on with. Any other is: what it changes, it changes as a whole.
        """
        request = self._current_request
        task = self._task_handler if request is None or request.get(STOPS) else None
        super().connection_lost(exc)
        if task is not None:
            task.cancel()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  it quotes what came
    ) -> web.StreamResponse:
        """
        Return the reply to a request that the parser refused, or that failed outside of every handler, after
        which the connection is closed. Raises ConnectionError: another reply has begun, and is broken off.
        """
        request_id = str(uuid_utils.uuid7())
        if isinstance(exc, _THEIRS) or (isinstance(exc, ConnectionError) and self.transport is None):
            error = unreadable(exc)
            reply_in_ours(request)
        else:
            log.error("request_failed", request_id=request_id, status=status, exc_info=exc)
            error = DomainError("Something failed on our side; the request id tells us what.")
        if request.writer.output_size > 0:
            raise ConnectionError
        HTTP_REQUESTS.labels("any", "unread", error.status).inc()
        response = problem(error, request_id)
        dress(response, request_id)
        response.headers.update(UNREAD)
        response.force_close()
        return response

    def log_exception(self, *_: Any, exc_info: BaseException | None = None, **__: Any) -> None:  # noqa: ANN401
        """Write a line of what failed, unless it is the client's own doing."""
        if not isinstance(exc_info, _THEIRS):
            log.error("connection_failed", exc_info=exc_info)


def unreadable(error: BaseException) -> DomainError:
    """Return what a client is told whose request the parser refused for this: nothing of what it sent."""
    if isinstance(error, http_exceptions.LineTooLong):
        return HeaderTooLargeError("The request's first line, or a field of its header, is too long.")
    if isinstance(error, http_exceptions.BadHttpMethod) and _ANY_METHOD.search(error.message):
        return UnknownMethodError("The request's method is unknown (RFC 9110, section 9.1).")
    return MalformedError("The request cannot be read as HTTP/1.1 (RFC 9112).")
