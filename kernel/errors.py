"""
The one tree of errors a caller can cause, or must be told about.

Each class carries the HTTP status and the stable `code` that clients may switch on; `kernel.http.web` turns
whatever escapes a handler into RFC 9457 `application/problem+json`. Text in an error is shown to the caller:
no secrets. The classes' docstrings are shown to everybody, in the public document.
"""

import re
from typing import ClassVar, Final

_NUMBER: Final = re.compile("[0-9]+")


def place_of(path: str) -> str:
    """
    Return what faults are sorted by: where they stand in a request. The whole body comes first, what holds
    something before what it holds, a third line or event before a tenth, the members of an event by name.
    """
    return "" if path == "body" else _NUMBER.sub(lambda found: found[0].zfill(10), path)


class DomainError(Exception):
    """Something failed on our side; the request id tells us what."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    says_when: ClassVar[bool] = False  # whether its reply may have a Retry-After

    def __init__(
        self,
        detail: str,
        *,
        errors: list[dict[str, str]] | None = None,
        retry_after_s: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """
        Describe the refusal.

        Args:
            detail: one sentence for the caller.
            errors: for invalid input, `{path, message}` for every fault found, told in the order of their
                places, whoever has looked for what first.
            retry_after_s: whole seconds until a retry makes sense; sent as `Retry-After`.
            headers: what else the reply's header has to say, such as `Allow`.
        """
        super().__init__(detail)
        self.headers = headers or {}
        self.detail = detail
        self.errors = None if errors is None else sorted(errors, key=lambda fault: place_of(fault["path"]))
        self.retry_after_s = retry_after_s
        self.beside: dict[str, object] = {}  # further members of the problem, such as `results`


class MalformedError(DomainError):
    """The bytes are not what the content type says (broken JSON, broken compression)."""

    status = 400
    code = "malformed"
    title = "The request cannot be read"


class NotAuthenticatedError(DomainError):
    """No valid token, or wrong credentials; never says which part was wrong."""

    status = 401
    code = "not_authenticated"
    title = "Authentication required"


class ForbiddenError(DomainError):
    """The caller may see the thing and may not do this with it."""

    status = 403
    code = "forbidden"
    title = "Not allowed"


class ReviewedBlindError(ForbiddenError):
    """Two people review the session blind: its numbers are told to who has given their review."""

    code = "reviewed_blind"
    title = "Withheld until it is reviewed"


class OriginNotAllowedError(ForbiddenError):
    """A browser asks for a page of another site, whose origin the asker's organisation does not allow."""

    code = "origin_not_allowed"
    title = "This page may not call"


class NotFoundError(DomainError):
    """Unknown, or not visible to the caller: the two are not told apart."""

    status = 404
    code = "not_found"
    title = "Not found"


class MethodNotAllowedError(DomainError):
    """The path exists, with other methods."""

    status = 405
    code = "method_not_allowed"
    title = "Method not allowed"


class ReadTimeoutError(DomainError):
    """The body did not arrive within the read deadline."""

    status = 408
    code = "read_timeout"
    title = "The request took too long to arrive"


class ConflictError(DomainError):
    """The state of the thing does not allow this."""

    status = 409
    code = "conflict"
    title = "Conflict"


class SessionNotActiveError(ConflictError):
    """The proctor session has ended or was cancelled."""

    code = "session_not_active"
    title = "The proctor session is not active"


class AttemptPausedError(ConflictError):
    """The attempt is paused: its time stands still, and the same request may be sent when it goes on."""

    code = "attempt_paused"
    title = "The attempt is paused"


class StoredSpoiltError(ConflictError):
    """
    What is stored and would be computed with is in another shape than it was ever stored in. Somebody has to
    mend it first; what was saved stays, and the same request may be sent then.
    """

    code = "stored_spoilt"
    title = "What is stored cannot be read"


class IdempotencyKeyReusedError(ConflictError):
    """The same idempotency key came with another body."""

    code = "idempotency_key_reused"
    title = "The idempotency key belongs to another request"


class ClientSequenceReusedError(ConflictError):
    """A clientSequence that was received came again with another event; `errors` names every one."""

    code = "client_sequence_reused"
    title = "The clientSequence belongs to another event"


class TooManyHolesError(ConflictError):
    """A client instance's received sequences would no longer fit their bound."""

    code = "too_many_holes"
    title = "Too many holes in clientSequence"


class TooManyClientsError(ConflictError):
    """A session has had as many client instances as it may."""

    code = "too_many_clients"
    title = "Too many client instances"


class NotSealedError(ConflictError):
    """The event is on the ledger and has no position under a signed head yet."""

    code = "not_sealed"
    says_when = True
    title = "Not sealed yet"


class GoneError(DomainError):
    """It was here, and went when its time was over, by the organisation's policy."""

    status = 410
    code = "gone"
    title = "Gone"


class TooLargeError(DomainError):
    """The body, the batch, or an event is over its limit."""

    status = 413
    code = "too_large"
    title = "Too large"


class UnsupportedMediaError(DomainError):
    """Content type or content encoding that this route does not read."""

    status = 415
    code = "unsupported_media_type"
    title = "Unsupported media type"


class RangeError(DomainError):
    """Nothing of the file lies in the range that was asked for."""

    status = 416
    code = "range_not_satisfiable"
    title = "Range not satisfiable"


class InvalidInputError(DomainError):
    """Readable, and some values are not allowed; `errors` names every one."""

    status = 422
    code = "invalid_input"
    title = "Invalid input"


class AllRefusedError(DomainError):
    """Every part of the request was refused, for reasons that have nothing in common; `results` has each."""

    status = 422
    code = "all_refused"
    title = "Every part was refused"


class UpgradeRequiredError(DomainError):
    """The address speaks WebSocket, and the request asks for none."""

    status = 426
    code = "upgrade_required"
    title = "Upgrade required"


class HeaderTooLargeError(DomainError):
    """The request line, or a field of the header, is longer than the server reads."""

    status = 431
    code = "header_too_large"
    title = "Header too large"


class RateLimitedError(DomainError):
    """The caller is over its own rate; the rest of the system is fine."""

    status = 429
    code = "rate_limited"
    says_when = True
    title = "Too many requests"


class UnknownMethodError(DomainError):
    """The method is none that HTTP's registry has; one that the path alone does not take is a 405."""

    status = 501
    code = "unknown_method"
    title = "Unknown method"


class OverloadedError(DomainError):
    """The system sheds load; nothing was done, and the same request may be sent again."""

    status = 503
    code = "overloaded"
    says_when = True
    title = "Not available at the moment"


class UnavailableError(OverloadedError):
    """A part that the promise rests on is away; nothing was done, and the same request may be sent again."""

    code = "unavailable"


class OutcomeUnknownError(UnavailableError):
    """
    A part went away while it was at work: what was asked for is done, or it is not.

    The same request, with the same clientSequence or Idempotency-Key where it has one, tells which.
    """

    code = "outcome_unknown"
    title = "The outcome is not known"
