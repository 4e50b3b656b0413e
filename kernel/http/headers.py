"""
The headers that requests and replies have, as the public document describes them.

A route names those that it alone reads or sends (`Route.reads`, `requires`, `sends`, `always_sends`); the
others follow from its form (`kernel.http.openapi`).
"""

from typing import Any, Final

from msgspec import Struct

from kernel.events import SCHEMAS

ACCEPT_ENCODING: Final = "Accept-Encoding"
ACCEPT_LANGUAGE: Final = "Accept-Language"
CACHE_CONTROL: Final = "Cache-Control"
CONTENT_DISPOSITION: Final = "Content-Disposition"
CONTENT_ENCODING: Final = "Content-Encoding"
ETAG: Final = "ETag"
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
IF_NONE_MATCH: Final = "If-None-Match"
INGEST_LOAD: Final = "X-Ingest-Load"
LAST_EVENT_ID: Final = "Last-Event-ID"
REQUEST_ID: Final = "X-Request-Id"
RETRY_AFTER: Final = "Retry-After"
VARY: Final = "Vary"
WWW_AUTHENTICATE: Final = "WWW-Authenticate"
CODINGS: Final = ("gzip", "zstd", "identity")
KEY_LENGTH_MAX: Final = 200
REQUEST_ID_FORM: Final = "[A-Za-z0-9._-]{8,64}"


class Header(Struct, frozen=True):
    """
    What a header says, and the JSON schema of its value; a reply that is described with one has it, unless it
    only `may`.
    """

    description: str
    schema: dict[str, Any]
    may: bool = False


IN_REQUESTS: Final = {
    ACCEPT_LANGUAGE: Header(
        "In which language texts for the candidate come: `ar` or `en`, the one of more weight (`q`).",
        {"type": "string", "default": "en", "examples": ["ar, en;q=0.8"]},
    ),
    CONTENT_ENCODING: Header(
        "How the body is compressed; left out where it is not.",
        {"$ref": SCHEMAS + "BodyEncoding"},
    ),
    IDEMPOTENCY_KEY: Header(
        "A name that the client gives to this act, a UUID say. Sent again with the same key, the request is "
        "done once and gets the first reply; another request under the key is a 409.",
        {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH_MAX, "pattern": r"^[ -~]*$(?!\n)"},
    ),
    LAST_EVENT_ID: Header(
        "The id of the last event that was seen: the stream goes on from there.", {"type": "string"}
    ),
    IF_NONE_MATCH: Header("The `ETag` of the copy that the client has.", {"type": "string"}),
    REQUEST_ID: Header(
        "The client's own id of the request, to find it in its logs and ours: 8 to 64 letters, digits, `.`, "
        "`_` and `-`. One is made where none comes, and in place of what is no such id.",
        {"type": "string"},
    ),
}
IN_REPLIES: Final = {
    ACCEPT_ENCODING: Header(
        "Which codings of a body are read here, where it came in another one.",
        {"type": "string", "examples": ["gzip, zstd"]},
    ),
    CACHE_CONTROL: Header(
        "Whether the reply may be kept: what is somebody's is not.",
        {"type": "string", "examples": ["no-store"]},
    ),
    CONTENT_ENCODING: Header(
        "How the body is compressed: from 1 KiB on, as `Accept-Encoding` likes it.",
        {"$ref": SCHEMAS + "BodyEncoding"},
        may=True,
    ),
    CONTENT_DISPOSITION: Header("The name of the file to keep.", {"type": "string"}),
    ETAG: Header(
        "Of this version; `If-None-Match` with it answers 304 while it is the newest.", {"type": "string"}
    ),
    INGEST_LOAD: Header(
        "How loaded the receiving end is, from 0 to 10: send less often, and in larger batches, as it rises.",
        {"type": "integer", "minimum": 0, "maximum": 10},
    ),
    REQUEST_ID: Header(
        "The request's id, by which it is found in the logs.",
        {"type": "string", "pattern": f"^{REQUEST_ID_FORM}$"},
    ),
    RETRY_AFTER: Header(
        "After how many seconds the same request makes sense.", {"type": "integer", "minimum": 0}, may=True
    ),
    VARY: Header(
        "What of the request the reply depends on.", {"type": "string", "examples": ["Accept-Encoding"]}
    ),
    WWW_AUTHENTICATE: Header("How to authenticate.", {"type": "string", "examples": ["Bearer"]}),
}
