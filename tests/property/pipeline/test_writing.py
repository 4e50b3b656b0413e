"""What is said of texts (analytics.md, "analyze_thinking_quality", "originality_indicators")."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.features.drafts import analyze_thinking_quality, revision
from pipeline.features.frames import DRAFTS, EVENTS
from pipeline.features.growth import Version
from pipeline.features.indicators import STRENGTHS, originality
from pipeline.features.keystrokes import Paste, Stroke, Typed
from pipeline.features.originality import Text, analysed, draft_analysis, originality_indicators
from pipeline.features.tokens import said_once, sentences_of, words_of
from pipeline.features.winnowing import Nearest, fingerprints, nearest_among

START = datetime(2026, 5, 4, 9, tzinfo=UTC)
NO_EVENTS = pl.DataFrame(schema=EVENTS.schema)
words = st.sampled_from(["river", "Bank", "the", "café", "كتاب", "東京大学", "runs", "of", "42", "slowly"])
sentences = st.lists(words, min_size=1, max_size=9).map(lambda each: " ".join(each) + ".")
texts = st.lists(sentences, min_size=1, max_size=6).map(" ".join)


def plain_distance(first: list[str], second: list[str]) -> int:
    """The definition: one row of the table at a time."""
    row = list(range(len(second) + 1))
    for at, word in enumerate(first, 1):
        before, row = row, [at]
        for to, other in enumerate(second, 1):
            row.append(min(before[to] + 1, row[-1] + 1, before[to - 1] + (word != other)))
    return row[-1]


def flat(text: str) -> list[str]:
    return [word for sentence in said_once(sentences_of(text)) for word in sentence]


def draft_rows(attempt_id: str, versions: list[str], **more: Any) -> list[dict[str, Any]]:
    row = {
        "attempt_id": attempt_id,
        "exam_id": "e",
        "student_id": "s" + attempt_id,
        "question_id": "q",
    } | more
    return [
        row | {"version": n, "text": text, "saved_at": START + timedelta(seconds=30 * n)}
        for n, text in enumerate(versions, 1)
    ]


def drafts_of(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=DRAFTS.schema, orient="row")


def codes_of(text: Text) -> list[str]:
    return [each["code"] for each in originality_indicators(text)]


def versions_of(*given: str, every_s: float = 30) -> list[Version]:
    return [Version(START + timedelta(seconds=every_s * n), each) for n, each in enumerate(given, 1)]


@given(texts, texts)
@settings(max_examples=30)
def test_words_changed_are_levenshteins(first: str, second: str) -> None:
    found = revision(first, second)

    assert found is not None
    if words_of(first) == words_of(second):
        assert found.words_changed == 0
    else:
        before, after = flat(first), flat(second)
        assert found.words_changed == plain_distance(before, after) / max(len(before), len(after))


@given(texts, texts, st.floats(0, 1))
@settings(max_examples=25)
def test_thinking_quality_is_a_share_and_pasting_never_raises_it(
    first: str, second: str, share: float
) -> None:
    whole, pasted = (analyze_thinking_quality(first, second, paste_share=each) for each in (0.0, share))

    assert whole is not None
    assert pasted is not None
    assert 0 <= pasted <= whole < 1


@given(texts, st.sampled_from(["  ", "\n", "\t \n"]))
@settings(max_examples=30)
def test_a_draft_in_which_only_space_changed_has_quality_0(text: str, space: str) -> None:
    assert analyze_thinking_quality(text, text.replace(" ", space) + space) == 0


@pytest.mark.parametrize("empty", ["", " \n", "…!"])
def test_an_empty_draft_has_no_quality(empty: str) -> None:
    assert analyze_thinking_quality(empty, "Some words.") is None
    assert analyze_thinking_quality("Some words.", empty) is None


@given(texts, texts, st.data())
@settings(max_examples=25)
def test_padding_a_text_with_its_own_sentences_never_raises_its_quality(
    first: str, second: str, data: st.DataObject
) -> None:
    own = [f"{each.strip()}." for each in second.split(".") if each.strip()]
    padding = data.draw(st.lists(st.sampled_from(own), min_size=1, max_size=6))
    padded = " ".join([second, *padding])

    quality, of_padded = (analyze_thinking_quality(first, each) for each in (second, padded))

    assert quality is not None
    assert of_padded is not None
    assert of_padded <= quality


@given(st.text(max_size=400))
@settings(max_examples=25)
def test_an_honest_student_with_one_draft_is_never_flagged_nor_labelled(text: str) -> None:
    """Once taken for incapable, for having nothing to compare with."""
    row = analysed(Text(versions=versions_of(text), typed=Typed(), is_compared=True))

    assert row["indicators"] == "[]"
    assert row["thinking_quality"] is None
    assert [each["code"] for each in orjson.loads(row["reasons"])] == ["ONE_DRAFT"]


@given(
    st.lists(st.lists(texts, min_size=1, max_size=3), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
@settings(max_examples=8)
def test_neither_the_order_of_rows_nor_how_they_are_divided_matters(
    essays: list[list[str]], dice: random.Random
) -> None:
    by_attempt = [draft_rows(f"a{n}", versions) for n, versions in enumerate(essays)]
    rows = [row for each in by_attempt for row in each]
    shuffled = dice.sample(rows, len(rows))

    whole = draft_analysis(drafts_of(rows), NO_EVENTS)

    assert draft_analysis(drafts_of(shuffled), NO_EVENTS).equals(whole)
    assert pl.concat(draft_analysis(drafts_of(each), NO_EVENTS) for each in by_attempt).equals(whole)


@given(st.lists(texts, min_size=2, max_size=5), st.randoms(use_true_random=False))
@settings(max_examples=12)
def test_the_index_finds_the_text_that_contains_most(given_texts: list[str], dice: random.Random) -> None:
    long = {f"a{n}": " ".join(dice.choices(given_texts, k=12)) for n in range(4)}
    marks = {each: fingerprints(text) for each, text in long.items()}

    found = nearest_among(marks)

    for attempt_id, own in marks.items():
        shared = {
            each: len(own & marks[each]) for each in sorted(marks) if each != attempt_id and own & marks[each]
        }
        best = max(shared.values(), default=0)
        expected = next(
            (Nearest(attempt_id=each, shared=n, n=len(own)) for each, n in shared.items() if n == best), None
        )
        assert found[attempt_id] == (expected if len(own) >= 16 else None)


def essay(dice: random.Random, length: int) -> str:
    """A text of words by Zipf's law, as different from any other as its topic's words let it be."""
    vocabulary = [f"w{n}" for n in range(2000)]
    weights = [1 / (n + 1) for n in range(2000)]
    drawn = dice.choices(vocabulary, weights, k=length)
    return " ".join(word + ("." if n % 14 == 13 else "") for n, word in enumerate(drawn)) + "."


def test_a_passage_of_eight_words_is_found_in_any_text_that_holds_it() -> None:
    dice = random.Random(3)
    for _ in range(50):
        passage = essay(dice, 8)
        one, other = (" ".join([essay(dice, 20), passage, essay(dice, 20)]) for _ in range(2))

        assert fingerprints(one) & fingerprints(other)


def test_a_copied_text_is_found_and_the_prompt_is_not_copied() -> None:
    dice = random.Random(4)
    prompt, own, other = essay(dice, 120), essay(dice, 200), essay(dice, 200)
    marks = {
        "own": fingerprints(own + prompt, prompt=prompt),
        "copy": fingerprints(essay(dice, 60) + own, prompt=prompt),
        "other": fingerprints(prompt + other, prompt=prompt),
    }

    found = nearest_among(marks)

    assert found["own"] is not None
    assert found["own"].attempt_id == "copy"
    assert "NEAR_DUPLICATE" in codes_of(
        Text(versions=versions_of(own), is_compared=True, nearest=found["own"])
    )
    assert found["other"] is None or found["other"].containment < 0.1


def test_a_text_that_replaces_another_is_told_from_one_that_grew() -> None:
    """By the share of words changed alone, a text that grew tenfold had been replaced."""
    dice = random.Random(5)
    first, second = essay(dice, 80), essay(dice, 90)
    grown = first + " " + essay(dice, 900)
    replaced, grew = revision(first, second), revision(first, grown)

    assert replaced is not None
    assert grew is not None
    assert min(replaced.words_changed, grew.words_changed) > 0.9
    assert codes_of(Text(versions=versions_of(first, second))) == ["REPLACED_TEXT"]
    assert codes_of(Text(versions=versions_of(first, grown))) == []


def test_what_was_pasted_counts_and_what_was_moved_refused_or_asked_does_not() -> None:
    dice = random.Random(6)
    own, foreign, prompt = essay(dice, 100), essay(dice, 60), essay(dice, 60)

    def pasted(text: str, *versions: str) -> list[str]:
        paste = Paste(at=START + timedelta(seconds=45), question_id=None, characters=len(text), text=text)
        return codes_of(Text(versions=versions_of(*versions), prompt=prompt, typed=Typed(pastes=[paste])))

    assert pasted(foreign, own, own + " " + foreign) == ["PASTE_SHARE", "LARGE_PASTE"]
    assert pasted(own[:300], own, own[300:] + " " + own[:300]) == []
    assert pasted(foreign, own, own) == ["IDENTICAL_DRAFT"]
    assert pasted(prompt, own, own + " " + prompt) == []


def test_speed_is_not_that_of_a_connection_that_comes_back() -> None:
    dice = random.Random(7)
    parts = [essay(dice, 200) for _ in range(4)]
    grown = [" ".join(parts[: n + 1]) for n in range(4)]
    at = [0, 30, 330, 336]  # five minutes away, then all that was written meanwhile at once
    offline = [
        Version(START + timedelta(seconds=each), text)
        for each, text in zip(at, [*grown[:2], grown[1], grown[3]], strict=True)
    ]

    assert codes_of(Text(versions=offline)) == []
    assert codes_of(Text(versions=versions_of(*grown))) == ["BURST_SPEED"]  # 20 and more a second, and again


def honest(dice: random.Random) -> Text:
    """Somebody who writes: erases, moves a paragraph, quotes the question, is offline, is refused a paste."""
    prompt, whole = essay(dice, 60), essay(dice, dice.randint(70, 160)).split()
    at, now, text = 0, 0.0, ""
    versions, pastes, strokes = [], [], []
    erased = min(0.5, dice.lognormvariate(-2.27, 0.54))  # of what is typed: 12 % on average
    while at < len(whole):
        took = dice.randint(5, 25)
        text, at = " ".join([text, *whole[at : at + took]]).strip(), at + took
        match dice.randrange(12):
            case 0:  # moves a part of it
                cut = len(text) // 2
                pastes.append((now + 5, text[:cut] if dice.random() < 0.5 else None, cut))
                text = text[cut:] + " " + text[:cut]
            case 1:
                text += " " + prompt[:200]
                pastes.append((now + 5, prompt[:200], 200))
            case 2:
                pastes.append((now + 5, essay(dice, 60), 300))
            case 3:
                text = text[: -dice.randint(1, 60)] or text
        seconds = took * 6 / dice.uniform(1.5, 7.0) + 30
        strokes.append((now, took * 6, round(took * 6 * erased), 1000 * took * 6 / dice.uniform(2, 9)))
        now += seconds
        versions.append(Version(START + timedelta(seconds=now), text))
        if dice.random() < 0.05:  # the connection was away, and sends at once
            now += 6
            versions.append(Version(START + timedelta(seconds=now), text))
    typed = Typed(
        pastes=[
            Paste(at=START + timedelta(seconds=second), question_id=None, characters=characters, text=said)
            for second, said, characters in pastes
        ],
        strokes=[
            Stroke(
                at=START + timedelta(seconds=second),
                question_id=None,
                inserted=inserted,
                deleted=deleted,
                pauses=3,
                duration_ms=int(ms),
            )
            for second, inserted, deleted, ms in strokes
        ],
    )
    return Text(
        versions=versions, prompt=prompt, typed=typed, pauses=[dice.uniform(1, 4) for _ in range(120)]
    )


def test_at_most_one_in_a_hundred_honest_writers_is_flagged() -> None:
    dice = random.Random(8)
    flagged = [codes for _ in range(100) if (codes := codes_of(honest(dice)))]

    assert len(flagged) <= 1, flagged


def test_indicators_say_more_together_and_each_says_it_once() -> None:
    codes = sorted(STRENGTHS)

    assert originality([]) == 0
    assert [originality([each]) for each in codes] == pytest.approx([STRENGTHS[each] for each in codes])
    grows = [originality(codes[:n]) for n in range(len(codes) + 1)]
    assert grows == sorted(grows)
    assert originality([*codes, *codes]) == originality(codes[::-1])
