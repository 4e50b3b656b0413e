"""
What an attempt's numbers say in sentences: each of them rests on a reason.

`summary_of` takes the reasons of a row of `behavior_analysis` and gives their texts, one after the other, at
most eight; `advice_of` gives for each reason's code what a teacher can do, each piece once. They need no
model and give the same text for the same reasons; their `llm_model_version` is `rules-1`.

A language model may write the text instead (spec.md, decision 16). It is told what `facts_of` gives, and
nothing else: numbers, codes and sentences of ours, no id, name, address or text of anybody's. It answers with
sentences that each name the codes that they rest on; `checked_answer` keeps those whose codes are all reasons
of the row, in bounds of number and length, and what it keeps is the text. With none left the text of the
rules stands.

>>> reasons = [{"code": "RULES", "value": 80, "threshold": 0, "n": 1, "text": "Risk reached 80 of 100."}]
>>> summary_of(reasons)
'Risk reached 80 of 100.'
>>> advice_of(reasons)
'Look at the timeline of the session, and at which rules it met.'
>>> answer = '{"summary": [{"text": "Much risk.", "codes": ["RULES"]}, {"text": "A liar.", "codes": []}]}'
>>> checked_answer(answer, reasons)
('Much risk.', None)

Source: spec.md, decision 16.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec import Struct

RULES: Final = "rules-1"
SENTENCES_MAX: Final = 8
SENTENCE_CHARACTERS_MAX: Final = 300
# What a teacher can do about each reason; None: it asks for nothing.
ADVICE: Final[Mapping[str, str | None]] = {
    "RULES": "Look at the timeline of the session, and at which rules it met.",
    "EVENTS": "Look at the events that are marked as out of the ordinary.",
    "RESPONSE_TIMES": "Look at the items that were answered within moments.",
    "SIMILARITY": "Compare the two answer sheets side by side before anything else is asked.",
    "ORIGINALITY": "Read how the text came about, version by version, and let the candidate explain it.",
    "NO_CONTRARY_EVIDENCE": None,
    "INSUFFICIENT_MONITORING": "Judge the attempt by other means: too little of it was monitored.",
    "PEAK_RISK": "Review the session, and decide.",
    "INTEGRITY_NEEDS_REVIEW": "Review the session, and decide.",
    "FLAG_STANDS": "Ask the proctor what was seen, and decide.",
    "LOW_MOMENTUM": "Talk about what has changed since the last exams, and agree on a next step.",
    "LOW_INTEGRITY": "Offer a way to show the same skill that needs no help of others.",
    "NO_DROPOUT_LABEL": None,
    "DROPOUT_RISK": "Get in touch before the next hand-in is due.",
    "MODEL_INPUT": None,
    "WEAK_TOPICS": "Plan a recap of the weak topics.",
}


class Sentence(Struct, frozen=True):
    """A sentence of a model's, and the codes of the reasons that it rests on."""

    text: str
    codes: list[str]


class Answer(Struct, frozen=True):
    """What a model answers with."""

    summary: list[Sentence]
    recommendations: list[Sentence] = []


def summary_of(reasons: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the reasons' texts as one, at most SENTENCES_MAX; None without a reason."""
    return " ".join(_once(each["text"] for each in reasons)[:SENTENCES_MAX]) or None


def advice_of(reasons: Sequence[Mapping[str, Any]]) -> str | None:
    """Return what can be done about the reasons; None where nothing need be."""
    found = (ADVICE[each["code"]] for each in reasons)
    return " ".join(_once(advice for advice in found if advice is not None)[:SENTENCES_MAX]) or None


def facts_of(reasons: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what a model is told: of each reason code, value, threshold, n and text."""
    return [{name: each[name] for name in ("code", "value", "threshold", "n", "text")} for each in reasons]


def facts_key(reasons: Sequence[Mapping[str, Any]]) -> str:
    """Return what tells these facts from others: a text holds for the facts that it was written of."""
    return sha256(msgspec.json.encode(facts_of(reasons), order="deterministic")).hexdigest()


def checked_answer(
    answer: str | bytes, reasons: Sequence[Mapping[str, Any]]
) -> tuple[str, str | None] | None:
    """
    Return a model's summary and recommendations, as far as they rest on the row's reasons.

    Returns:
        None where it is not what was asked for, or no sentence of the summary rests on a reason. None in
        place of the recommendations where no sentence of them does.
    """
    try:
        found = msgspec.json.decode(answer, type=Answer)
    except msgspec.DecodeError:
        return None
    codes = {each["code"] for each in reasons}
    summary, advice = (" ".join(_kept(each, codes)) for each in (found.summary, found.recommendations))
    return (summary, advice or None) if summary else None


def _kept(sentences: Sequence[Sentence], codes: set[str]) -> list[str]:
    kept = [
        text
        for each in sentences
        if each.codes
        and codes.issuperset(each.codes)
        and 0 < len(text := " ".join(each.text.split())) <= SENTENCE_CHARACTERS_MAX
    ]
    return _once(kept)[:SENTENCES_MAX]


def _once(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
