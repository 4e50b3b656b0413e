"""
What a language model makes of an attempt's reasons: asked over HTTP, within bounds, told no more than facts.

Any OpenAI-compatible endpoint (`/chat/completions`). Whatever goes wrong (nobody answers, in time, within the
bytes, with sentences that rest on reasons of the row), the text of the rules stands.
"""

import urllib.request
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from time import monotonic
from typing import Any, Final

import msgspec
import orjson
import structlog
from msgspec import Struct

from kernel.settings import Settings
from pipeline.features.summaries import checked_answer, facts_key, facts_of
from sql import named
from sql.running import connect, run

TEXTS: Final = named("texts")
TURNS: Final = named("turns")
log = structlog.get_logger(__name__, process="pipeline")

TASK: Final = (
    "You word the findings about one exam attempt for its teacher. You get facts as JSON: code, value, "
    "threshold, n, text. Use nothing else, accuse nobody, recommend only what a person can look at or talk "
    'about. Answer with JSON alone: {"summary": [{"text": "…", "codes": ["…"]}], "recommendations": [{"text":'
    ' "…", "codes": ["…"]}]}. Each text is one sentence; codes are those of the facts that it rests on.'
)


class Message(Struct):
    """What a model said."""

    content: str


class Choice(Struct):
    """One of its replies."""

    message: Message


class Reply(Struct):
    """What an endpoint answers."""

    choices: list[Choice]


class Written(Struct, frozen=True):
    """A text, and who wrote it."""

    summary: str
    recommendations: str | None
    model_version: str


def write(settings: Settings, reasons: Sequence[Mapping[str, Any]]) -> Written | None:
    """
    Ask the model for a summary and recommendations.

    Args:
        settings: which model, and the bounds.
        reasons: of a row of `behavior_analysis`.

    Returns:
        None where no model is set, or it gives nothing that stands.
    """
    if not settings.llm_url or not reasons:
        return None
    try:
        reply = _post(settings, reasons)
        text = msgspec.json.decode(reply, type=Reply).choices[0].message.content
    except (OSError, HTTPException, msgspec.DecodeError, IndexError) as error:
        log.warning("model_not_heard", error=type(error).__name__)
        return None
    if (found := checked_answer(text, reasons)) is None:
        log.warning("model_not_grounded")
        return None
    return Written(*found, settings.llm_model)


def write_due(settings: Settings, *, rows_max: int) -> tuple[int, int]:
    """
    Let the model word what it has not yet, the most urgent attempts first; each text is stored as it comes,
    and its attempt marked for its turn. Return how many were worded, of how many that it was asked about.
    """
    with connect(settings.database_url) as conn:
        found = run(conn, TEXTS["list_unwritten"], settings.llm_model, rows_max).fetchall()
        worded = 0
        for attempt_id, text in found:
            reasons = orjson.loads(text)
            if (written := write(settings, reasons)) is None:
                continue
            with conn.transaction():
                bound = TEXTS.bind(
                    "put_text",
                    attempt_id=attempt_id,
                    facts=facts_key(reasons),
                    summary=written.summary,
                    recommendations=written.recommendations,
                    model=written.model_version,
                )
                run(conn, *bound)
                run(conn, TURNS["mark_attempts"], [attempt_id], ["written_texts"])
            worded += 1
    return worded, len(found)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The key goes where the settings say, and nowhere else."""

    def redirect_request(self, *_: Any) -> None:  # noqa: ANN401
        """Follow none."""


_OPENER: Final = urllib.request.build_opener(_NoRedirect)


def _post(settings: Settings, reasons: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the endpoint's reply; raises OSError where it refuses, or says more than may be read."""
    asked = {
        "model": settings.llm_model,
        "temperature": 0,
        "max_tokens": settings.llm_tokens_max,
        "response_format": {"type": "json_object"},
        "messages": [
            {"role": "system", "content": TASK},
            {"role": "user", "content": orjson.dumps({"facts": facts_of(reasons)}).decode()},
        ],
    }
    headers = {"Content-Type": "application/json"}
    if settings.llm_api_key:
        headers["Authorization"] = f"Bearer {settings.llm_api_key}"
    request = urllib.request.Request(  # noqa: S310  settings allow http and https only
        f"{settings.llm_url.rstrip('/')}/chat/completions", data=orjson.dumps(asked), headers=headers
    )
    until, found = monotonic() + settings.llm_timeout_s, b""
    with _OPENER.open(request, timeout=settings.llm_timeout_s) as reply:
        while piece := reply.read1(settings.llm_reply_bytes_max + 1 - len(found)):
            found += piece
            if len(found) > settings.llm_reply_bytes_max or monotonic() > until:
                raise OSError("the reply takes more than it may")
    return found
