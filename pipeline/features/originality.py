"""
Originality of a text: what speaks against its having been written where it was handed in, and by whom.

Grain: one row per text, that is per attempt and essay. Takes the frames DRAFTS and EVENTS of any number of
attempts; optional are the prompts of questions, each text's nearest among others' (`winnowing`), and the
pauses of a cohort. Gives the columns of the dataset `draft_analysis`: thinking quality (`drafts`) with what
it is made of, and the indicators, a JSON list of {code, value, threshold, n, p, text}:

- IDENTICAL_DRAFT: the first and the last version have the same words. n: words.
- REPLACED_TEXT: from one version to the next more than 0.9 of the words changed and less than half of the
  old passages of three stayed, both versions of 50 words and more. Value: the share changed; n: words.
- PASTE_SHARE: 0.30 or more of what was inserted was pasted. n: characters inserted, at least 100.
- LARGE_PASTE: 200 characters or more were pasted at once. Value: those of the largest; n: pastes.
- BURST_SPEED: over 15 characters per second for 5 s or more. n: characters.
- LOW_REVISION: deletions / insertions < 0.02, and so few that even a rate of 0.02 gives as few once in a
  hundred times (p, Poisson). n: characters typed, at least 300.
- FEW_PAUSES: pauses over 2 s per 100 words, of which not one in a hundred of the cohort has as few:
  p = (1 + those with as few) / (1 + cohort) <= 0.01. n: the cohort, at least 99.
  Only where a cohort is given, as an analyst does: what Veritas keeps up to date has `pauses_per_100_words`
  of each text whose client told `pauses` (`keystrokes`), and gives no cohort. A text that is handed in later
  would change what was said of those before it, and one in a hundred of a cohort is then somebody else.
- NEAR_DUPLICATE: 0.60 or more of the text's fingerprints stand in one text of somebody else. n: fingerprints.

Of an attempt, beside its texts: SUDDEN_JUMP and SPEED_JUMP (`jumps`).

An indicator is a question to its reader and no verdict. None rests on a single version: an honest student
with one draft has no IDENTICAL_DRAFT, no REPLACED_TEXT, no speed between versions, and no thinking quality.
Where evidence is missing there is no indicator, and `coverage` says so. It is the share of five kinds that
were there: two drafts; events, so that a paste would have been seen; keystrokes that tell deletions; pauses
with a cohort; a comparison with others' texts. Pastes count as far as they brought something, and speed
between versions as `growth` says: who moves a paragraph, quotes the question, or was offline for minutes has
done nothing.

False positives on authentic writing are bounded by construction for FEW_PAUSES (conformal; Vovk et al.,
"Algorithmic Learning in a Random World", 2005), SUDDEN_JUMP and SPEED_JUMP, and by simulated honest writers
for the others: at most 1 %. That nobody types 15 characters a second: Dhakal et al., "Observations on Typing
from 136 Million Keystrokes" (2018). Source: analytics.md, "originality_indicators"; there REPLACED_TEXT is
the share of words changed alone, which every text reaches that only grew tenfold.

>>> from datetime import UTC, datetime, timedelta
>>> import orjson
>>> import polars as pl
>>> from pipeline.features.frames import DRAFTS, EVENTS
>>> at = datetime(2026, 5, 4, 9, tzinfo=UTC)
>>> drafts = pl.DataFrame(
...     {"attempt_id": ["a"] * 2, "exam_id": ["e"] * 2, "student_id": ["s"] * 2, "question_id": ["q"] * 2,
...      "version": [1, 2], "text": ["It rained. We stayed.", "It rained.  We stayed."],
...      "saved_at": [at, at + timedelta(minutes=9)]}, schema=DRAFTS.schema)
>>> no_events = pl.DataFrame(schema=EVENTS.schema)
>>> row = draft_analysis(drafts, no_events).row(0, named=True)
>>> row["versions"], row["thinking_quality"], row["coverage"]
(2, 0.0, 0.2)
>>> [(each["code"], each["text"]) for each in orjson.loads(row["indicators"])]
[('IDENTICAL_DRAFT', 'The 4 words of the first version stand unchanged in the last.')]
>>> one = draft_analysis(drafts.head(1), no_events).row(0, named=True)
>>> one["thinking_quality"] is None, one["indicators"]
(True, '[]')
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import polars as pl
from msgspec import Struct

from pipeline.features.drafts import (
    REPLACED_MIN,
    REPLACED_WORDS_MIN,
    Revision,
    Sentences,
    between,
    first_draft,
    flat,
    thinking_quality,
)
from pipeline.features.frames import DRAFTS, UTC, as_json, checked, reason
from pipeline.features.growth import NOTHING_TYPED, Growth, Version, growth
from pipeline.features.indicators import indicator, poisson_at_most
from pipeline.features.keystrokes import Typed, fastest, typed_by_attempt
from pipeline.features.tokens import sentences_of
from pipeline.features.winnowing import Nearest

METRIC_VERSION: Final = "draft-analysis-1"
PASTE_SHARE_MIN: Final = 0.30
PASTED_OF_MIN: Final = 100  # characters inserted, under which a share says nothing
LARGE_PASTE_MIN: Final = 200
BURST_PER_S: Final = 15.0
BURST_SPAN_S: Final = 5.0
LOW_REVISION_RATE: Final = 0.02
LOW_REVISION_OF_MIN: Final = 300
CHANCE: Final = 0.01
PAUSES_COHORT_MIN: Final = 99  # the fewest with which one in a hundred can be told
NEAR_DUPLICATE_MIN: Final = 0.60

ONE_DRAFT: Final = "Only one version was saved: there is no revision to look at."
NO_WORDS: Final = "The versions hold no words to compare: there is no revision to look at."
_COLUMNS: Final[dict[str, Any]] = {
    "attempt_id": pl.String,
    "question_id": pl.String,
    "exam_id": pl.String,
    "student_id": pl.String,
    "versions": pl.Int32,
    "words": pl.Int32,
    "thinking_quality": pl.Float64,
    "words_changed": pl.Float64,
    "sentences_new": pl.Int32,
    "content_words_new": pl.Int32,
    "characters_inserted": pl.Int64,
    "characters_deleted": pl.Int64,
    "paste_share": pl.Float64,
    "pauses_per_100_words": pl.Float64,
    "nearest_attempt_id": pl.String,
    "containment": pl.Float64,
    "indicators": pl.String,
    "metric_version": pl.String,
    "coverage": pl.Float64,
    "reasons": pl.String,
    "as_of": UTC,
}
SCHEMA: Final = pl.Schema(_COLUMNS)

Indicator = dict[str, Any]
TextKey = tuple[str, str]  # attempt_id, question_id


class Text(Struct, frozen=True, kw_only=True):
    """
    All that is known of one text.

    Attributes:
        versions: in their order, at least one; the last was handed in.
        prompt: the question that was put.
        typed: what was seen of its typing; None where no event of the attempt came.
        is_compared: it was compared with others' texts.
        nearest: the text that contains most of it; None where nothing is shared, or it is too short.
        pauses: pauses over 2 s per 100 words of the cohort's other texts.
    """

    versions: Sequence[Version]
    prompt: str = ""
    typed: Typed | None = None
    is_compared: bool = False
    nearest: Nearest | None = None
    pauses: Sequence[float] = ()


class Looked(Struct, frozen=True, kw_only=True):
    """
    What was computed of a text, for its indicators and its row.

    Attributes:
        words: of the last version.
        unchanged: as many, where they are those of the first version; else 0.
        revision: from the first draft to the last version.
        replaced: from one version to the next, where most was changed that was replaced.
        growth: from version to version.
        strokes: characters inserted and deleted by keys; None where no client said so.
        fastest: the highest speed over 5 s, in characters per second, and of how many characters.
        pauses: over 2 s, per 100 words.
    """

    words: int
    unchanged: int
    revision: Revision | None
    replaced: Revision | None
    growth: Growth
    strokes: tuple[int, int] | None
    fastest: tuple[float, int] | None
    pauses: float | None


def draft_analysis(
    drafts: pl.DataFrame,
    events: pl.DataFrame,
    *,
    prompts: Mapping[str, str] | None = None,
    nearest: Mapping[TextKey, Nearest | None] | None = None,
    pauses: Mapping[TextKey, Sequence[float]] | None = None,
) -> pl.DataFrame:
    """
    Return the dataset's rows, by attempt and question.

    Args:
        drafts: the frame DRAFTS: all versions of each text, in any order.
        events: the frame EVENTS: all events of these attempts, in any order.
        prompts: the question's text by its id.
        nearest: of each text that was compared with others', the nearest.
        pauses: of each text the pauses per 100 words of the others of its cohort.
    """
    given = checked(drafts, DRAFTS).sort("attempt_id", "question_id", "version")
    typed = typed_by_attempt(events)
    texts: dict[TextKey, list[dict[str, Any]]] = {}
    for row in given.iter_rows(named=True):
        texts.setdefault((row["attempt_id"], row["question_id"]), []).append(row)
    of_attempt = Counter(attempt_id for attempt_id, _ in texts)
    rows = []
    for key, versions in texts.items():
        attempt_id, question_id = key
        own = typed.get(attempt_id)
        text = Text(
            versions=[Version(each["saved_at"], each["text"]) for each in versions],
            prompt=(prompts or {}).get(question_id, ""),
            typed=own and own.of(question_id, is_only=of_attempt[attempt_id] == 1),
            is_compared=nearest is not None and key in nearest,
            nearest=(nearest or {}).get(key),
            pauses=(pauses or {}).get(key, ()),
        )
        ids = {name: versions[0][name] for name in ("attempt_id", "question_id", "exam_id", "student_id")}
        rows.append(ids | analysed(text))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def analysed(text: Text) -> dict[str, Any]:
    """Return what a text's row says beside its ids."""
    found = look(text)
    near = text.nearest if text.nearest and text.nearest.containment >= NEAR_DUPLICATE_MIN else None
    change, share = found.revision, found.growth.paste_share if text.typed else None
    known = [
        change is not None,
        text.typed is not None,
        found.strokes is not None,
        found.pauses is not None and len(text.pauses) >= PAUSES_COHORT_MIN,
        text.is_compared,
    ]
    return {
        "versions": len(text.versions),
        "words": found.words,
        "thinking_quality": change and thinking_quality(change, share or 0.0),
        "words_changed": change and change.words_changed,
        "sentences_new": change and change.sentences_new,
        "content_words_new": change and change.content_new,
        "characters_inserted": found.growth.inserted,
        "characters_deleted": found.growth.deleted,
        "paste_share": share,
        "pauses_per_100_words": found.pauses,
        "nearest_attempt_id": near and near.attempt_id,
        "containment": near and near.containment,
        "indicators": as_json(indicators(text, found)),
        "metric_version": METRIC_VERSION,
        "coverage": sum(known) / len(known),
        "reasons": as_json(list(_reasons(text, found))),
        "as_of": max(each.saved_at for each in text.versions),
    }


def look(text: Text) -> Looked:
    """Compute what a text's indicators and its row are made of."""
    drafts = [sentences_of(each.text) for each in text.versions]
    written = [flat(each) for each in drafts]
    first, words = first_draft(drafts), len(written[-1])
    typed = text.typed or NOTHING_TYPED
    told = [
        (each.inserted, each.deleted)
        for each in typed.strokes
        if each.inserted is not None and each.deleted is not None
    ]
    paused = [each.pauses for each in typed.strokes if each.pauses is not None]
    grown = growth(text.versions, typed, words=written, prompt=text.prompt, span_s=BURST_SPAN_S)
    speeds = (fastest(typed.strokes, span_s=BURST_SPAN_S), grown.fastest)
    return Looked(
        words=words,
        unchanged=words if len(drafts) > 1 and written[0] == written[-1] else 0,
        revision=None if first is None else between(drafts[first], drafts[-1]),
        replaced=max(
            _replaced(drafts), key=lambda each: (each.words_changed, each.words_second), default=None
        ),
        growth=grown,
        strokes=(sum(added for added, _ in told), sum(gone for _, gone in told)) if told else None,
        fastest=max((each for each in speeds if each is not None), default=None),
        pauses=100 * sum(paused) / words if paused and words else None,
    )


def originality_indicators(text: Text) -> list[Indicator]:
    """Return a text's indicators, in the order in which they are listed above."""
    return indicators(text, look(text))


def indicators(text: Text, found: Looked) -> list[Indicator]:
    """Return a text's indicators, of what was computed of it."""
    own = [*_of_versions(found), *_of_pastes(found.growth), *_of_typing(text, found)]
    return [*own, *_of_others(text.nearest)]


def _replaced(drafts: Sequence[Sentences]) -> Iterator[Revision]:
    """Yield what changed from a version to the next, wherever one stands in the other's place."""
    for before, after in pairwise(drafts):
        words, others = flat(before), flat(after)
        half = len(words) // 2 + 1  # where it stands unchanged, the rest need not be looked at
        if min(len(words), len(others)) < REPLACED_WORDS_MIN or words[:half] == others[:half]:
            continue
        change = between(before, after)
        if change is not None and change.is_replaced:
            yield change


def _of_versions(found: Looked) -> Iterator[Indicator]:
    if found.unchanged:
        says = f"The {found.unchanged} words of the first version stand unchanged in the last."
        yield indicator("IDENTICAL_DRAFT", 0.0, 0.0, found.unchanged, says)
    if found.replaced is not None:
        changed, words = found.replaced.words_changed, found.replaced.words_second
        says = f"From one version to the next {100 * changed:.0f} % of {words} words changed."
        yield indicator("REPLACED_TEXT", changed, REPLACED_MIN, words, says)


def _of_pastes(found: Growth) -> Iterator[Indicator]:
    pasted, inserted, share = sum(found.pasted), found.inserted, found.paste_share
    if share >= PASTE_SHARE_MIN and inserted >= PASTED_OF_MIN:
        says = f"{pasted} of {inserted} characters were pasted ({100 * share:.0f} %)."
        yield indicator("PASTE_SHARE", share, PASTE_SHARE_MIN, inserted, says)
    largest = max(found.pastes, default=0)
    if largest >= LARGE_PASTE_MIN:
        says = f"{largest} characters were pasted at once."
        yield indicator("LARGE_PASTE", largest, LARGE_PASTE_MIN, len(found.pastes), says)


def _of_typing(text: Text, found: Looked) -> Iterator[Indicator]:
    if found.fastest is not None and found.fastest[0] > BURST_PER_S:
        speed, characters = found.fastest
        says = f"{characters} characters came at {speed:.0f} a second, faster than anybody types for 5 s."
        yield indicator("BURST_SPEED", speed, BURST_PER_S, characters, says)
    if found.strokes is not None and found.strokes[0] >= LOW_REVISION_OF_MIN:
        inserted, deleted = found.strokes
        rate, p = deleted / inserted, poisson_at_most(deleted, LOW_REVISION_RATE * inserted)
        if rate < LOW_REVISION_RATE and p < CHANCE:
            says = f"Of {inserted} characters typed only {deleted} were deleted."
            yield indicator("LOW_REVISION", rate, LOW_REVISION_RATE, inserted, says, p)
    if found.pauses is not None and len(text.pauses) >= PAUSES_COHORT_MIN:
        cohort, pauses = len(text.pauses), found.pauses
        p = (1 + sum(each <= pauses for each in text.pauses)) / (1 + cohort)
        if p <= CHANCE:
            says = f"{pauses:.1f} pauses per 100 words; of {cohort} other texts not one in 100 has so few."
            yield indicator("FEW_PAUSES", pauses, sorted(text.pauses)[cohort // 100], cohort, says, p)


def _of_others(found: Nearest | None) -> Iterator[Indicator]:
    if found is not None and found.containment >= NEAR_DUPLICATE_MIN:
        says = f"{100 * found.containment:.0f} % of the text's passages stand in one text of somebody else."
        yield indicator("NEAR_DUPLICATE", found.containment, NEAR_DUPLICATE_MIN, found.n, says)


def _reasons(text: Text, found: Looked) -> Iterator[Indicator]:
    """Say what makes up thinking quality, or why there is none."""
    change, versions = found.revision, len(text.versions)
    if change is None:
        code, says = ("ONE_DRAFT", ONE_DRAFT) if versions < 2 else ("NO_WORDS", NO_WORDS)
        yield reason(code, versions, 2, found.words, says)
        return
    parts = change.text.split(", ")
    yield reason("WORDS_CHANGED", change.words_changed, 0, change.words_second, f"{parts[0]}.")
    yield reason("SENTENCES_NEW", change.sentences_new_share, 0, change.sentences_new, f"{parts[1]}.")
    yield reason("CONTENT_NEW", change.content_new_share, 0, change.content_new, f"{parts[2]}.")
    if text.typed and (share := found.growth.paste_share):
        says = f"{100 * share:.0f} % of what was inserted was pasted."
        yield reason("PASTED", share, 0, found.growth.inserted, says)
