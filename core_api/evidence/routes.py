"""Evidence, for those who send it and for staff who look at it."""

from functools import partial
from typing import Any, Final

from aiohttp import web

from core_api.cases import case
from core_api.evidence import chunks, closing, custody, downloads, grants, pieces, uploads
from core_api.evidence.storage import STORAGE, Storage
from core_api.wire import Envelope
from kernel.access import Action
from kernel.errors import (
    ConflictError,
    ForbiddenError,
    GoneError,
    NotFoundError,
    RangeError,
    ReadTimeoutError,
    SessionNotActiveError,
    TooLargeError,
    UnavailableError,
    UnsupportedMediaError,
)
from kernel.http.web import OWN, Retry, Route, Shows


def _storage(request: web.Request) -> Storage:
    return request.app[STORAGE]


stored: Final[Any] = partial(case, parts={"storage": _storage})  # a use case that reaches the object stores

ROUTES: Final = (
    stored(
        "POST /proctor/evidence/request-upload", pieces.request_upload, Action.evidence_upload,
        name="request_evidence_upload", shows=OWN, envelope=True, status=201,
        says="""
        Say what is to be sent, and get the address to PUT it to. For half an hour after the session's end
        evidence is taken still, and marked as late.
        """,
    ),
    Route(
        method="PUT", path="/proctor/evidence/{evidence_id}/upload", name="upload_evidence",
        handler=uploads.upload, action=None, tag="Proctoring", takes_file=True, query=grants.WithGrant,
        reply=Envelope[uploads.Uploaded],
        refuses={
            ForbiddenError: "the address is not one that was given, or is over", NotFoundError: "",
            ConflictError: "other bytes were stored there, or the evidence is closed",
            SessionNotActiveError: "", TooLargeError: "", UnsupportedMediaError: "", ReadTimeoutError: "",
        },
    ),
    stored(
        "POST /proctor/evidence/{evidence_id}/chunks", chunks.announce, Action.evidence_upload,
        name="announce_evidence_chunks", shows=OWN, envelope=True, retry=Retry.own_way,
        says="Say which chunks of a recording come next, and get an address for each that is not there yet.",
    ),
    stored(
        "GET /proctor/evidence/{evidence_id}/chunks", chunks.manifest, Action.evidence_manifest,
        name="list_evidence_chunks", shows=Shows("evidence", "evidence_id"),
        says="List which chunks have arrived, and which are missing.",
    ),
    stored(
        "POST /proctor/evidence/{evidence_id}/confirm", closing.confirm, Action.evidence_upload,
        name="confirm_evidence_upload", shows=OWN, envelope=True, retry=Retry.own_way, bodiless=True,
        message="Evidence upload confirmed",
        says="Confirm that all of it was sent. Confirming again changes nothing.",
    ),
    case(
        "GET /proctor/session/{id}/evidence", pieces.list_of_session, Action.evidence_read,
        name="list_session_evidence", shows=Shows("session_evidence", "id"),
        says="List a session's evidence, in the order in which it was asked for.",
    ),
    case(
        "GET /proctor/evidence/{evidence_id}/download-url", downloads.grant_download, Action.evidence_read,
        name="get_evidence_download_url", shows=Shows("evidence", "evidence_id"), envelope=True,
        says="Get an address from which the evidence is fetched for a while; that it was given is recorded.",
    ),
    Route(
        method="GET", path="/proctor/evidence/{evidence_id}/download", name="download_evidence",
        handler=downloads.download, action=None, tag="Proctoring",  # notes the view itself
        query=grants.WithGrant, reply=bytes, media_type="application/octet-stream",
        refuses={
            ForbiddenError: "the address is not one that was given, or is over", NotFoundError: "",
            GoneError: "", RangeError: "", UnavailableError: "",
        },
    ),
    case(
        "GET /proctor/session/{id}/evidence/custody", custody.export, Action.evidence_custody,
        name="export_evidence_custody", shows=Shows("custody", "id"), envelope=True,
        says="""
        Return the chain of custody of a session's evidence, as a file to keep: what there is, every event
        about it, and its proof under a signed head.
        """,
    ),
)  # fmt: skip
