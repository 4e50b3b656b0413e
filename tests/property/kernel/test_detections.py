"""What detectors say is judged whatever it is, and nothing that fits is refused (spec.md V-4)."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ingest.admission.batches import EventIn, admit
from kernel.detections import JUDGED, RESULT_OF, FaceDetectionResult, ScreenAnalysisResult, Sight, judge
from kernel.errors import InvalidInputError
from kernel.events import EventType
from kernel.settings import load
from kernel.values import wrong_document

SETTINGS = load({})
BYTES_MAX = SETTINGS.metadata_bytes_max
NAMES = sorted({field.encode_name for kind in RESULT_OF.values() for field in msgspec.structs.fields(kind)})
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9) | st.sampled_from([*Sight, 0, 1, 1.0, "2026-01-01T00:00:00Z", "emotion"])
)  # fmt: skip
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*NAMES, "x", "width", "age"]) | st.text(max_size=3), inner, max_size=6
        )
    ),
    max_leaves=12,
)
shares = st.floats(0, 1)
corners = st.fixed_dictionaries({"x": st.floats(0, 0.5), "y": st.floats(0, 0.5), "width": st.floats(0, 0.5),
                                 "height": st.floats(0, 0.5), "confidence": shares})  # fmt: skip


@st.composite
def faces(draw: st.DrawFn) -> dict[str, Any]:
    sight = draw(st.sampled_from(Sight))
    count = draw(st.integers(1, 100)) if sight is Sight.seen else 0
    return {
        "faceCount": count,
        "isFaceVisible": sight is Sight.seen,
        "confidenceScore": draw(shares),
        "result": sight,
        "model": "m",
        "modelVersion": "1",
        "boxes": draw(st.lists(corners, max_size=min(count, 3))),
        "reasons": draw(st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=2)),
    }


@st.composite
def screens(draw: st.DrawFn) -> dict[str, Any]:
    sight = draw(st.sampled_from(Sight))
    return {
        "hasSuspiciousContent": sight is Sight.seen,
        "detectedApplications": draw(st.lists(st.text(min_size=1, max_size=9), max_size=2)),
        "riskContribution": draw(st.floats(0, 100)) if sight is Sight.seen else 0,
        "result": sight,
        "model": "m",
        "modelVersion": "1",
        "reasons": ["too dark"],
    }


@given(kind=st.sampled_from(sorted(JUDGED)), severity=st.integers(0, 5), document=anything)
def test_any_json_is_judged_and_what_is_wrong_has_its_path(
    *, kind: int, severity: int, document: object
) -> None:
    text = msgspec.json.encode(document).decode()
    if wrong_document(text, bytes_max=BYTES_MAX) is not None:
        return

    found = judge(kind, severity, text)

    event = EventIn(event_type=kind, severity=severity, metadata_json=text)
    try:
        admit([event], client=None, settings=SETTINGS)
        told = []
    except InvalidInputError as error:
        told = [each["path"] for each in error.errors or []]
    assert len(told) == len(found)
    assert all(path.startswith("events[0].metadataJson") for path in told)
    if not found and kind in RESULT_OF:
        msgspec.json.decode(text, type=RESULT_OF[kind])


results = st.tuples(st.just(EventType.FaceAnalysis), faces()) | st.tuples(
    st.just(EventType.ScreenAnalysis), screens()
)


@given(result=results, broken=st.sampled_from(["", "lacks", "unknown"]), place=st.integers(0, 5))
def test_a_result_that_fits_is_taken_and_one_member_more_or_less_is_named(
    *, result: tuple[EventType, dict[str, Any]], broken: str, place: int
) -> None:
    kind, document = result
    required = [field.encode_name for field in msgspec.structs.fields(RESULT_OF[kind]) if field.required]
    name = required[place % len(required)]
    if broken == "lacks":
        del document[name]
    if broken == "unknown":
        document["emotion"] = "calm"

    found = judge(kind, 0, msgspec.json.encode(document).decode())

    expected = {
        "": [],
        "lacks": [("", f"Object missing required field `{name}`")],
        "unknown": [("emotion", "A result holds no such member")],
    }
    assert found == expected[broken]


def test_who_could_not_tell_says_why_and_harms_nobody() -> None:
    dark = FaceDetectionResult(
        face_count=0, is_face_visible=False, confidence_score=0, result=Sight.could_not_tell,
        model="m", model_version="1", reasons=["too dark"],
    )  # fmt: skip
    silent = msgspec.structs.replace(dark, reasons=[])
    screen = ScreenAnalysisResult(
        has_suspicious_content=False, detected_applications=[], risk_contribution=5,
        result=Sight.could_not_tell, model="m", model_version="1", reasons=["no frame"],
    )  # fmt: skip

    def places(kind: EventType, severity: int, result: object) -> list[str]:
        return [place for place, _ in judge(kind, severity, msgspec.json.encode(result).decode())]

    assert places(EventType.FaceAnalysis, 0, dark) == []
    assert places(EventType.FaceAnalysis, 1, dark) == ["result"]
    assert places(EventType.FaceAnalysis, 0, silent) == ["reasons"]
    assert places(EventType.ScreenAnalysis, 0, screen) == ["riskContribution"]
    assert places(EventType.FaceNotDetected, 0, dark) == ["result"], "it is no finding"
    assert judge(EventType.FaceNotDetected, 3, '{"source": "webcam"}') == [], "others say what they like"
    assert judge(EventType.FaceNotDetected, 3, None) == []
    assert judge(EventType.FaceAnalysis, 0, None) == [("", "Expected a FaceDetectionResult")]
