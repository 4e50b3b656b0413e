"""What the face detector makes of what it sees (spec.md V-4)."""

from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kernel.detections import Sight, judge
from kernel.events import EventType
from pipeline.detector.findings import EVENTS_MAX, NEVER_SEEN, Finding, Told, finding_of, settle, tell
from pipeline.detector.frames import Face, Frame, Seen

places = st.floats(-0.5, 1.2)
sizes = st.floats(0.02, 1.0)
faces = st.builds(Face, places, places, sizes, sizes, st.floats(0.5, 1))
frames = st.builds(
    Frame,
    faces=st.lists(faces, max_size=3),
    best=st.floats(0, 1),
    luminance=st.floats(0, 255),
    sharpness=st.floats(0, 1000),
    fault=st.sampled_from(["", "", "It cannot be opened."]),
)
ONE = Frame(faces=[Face(0.4, 0.4, 0.2, 0.2, 0.9)], best=0.9, luminance=120, sharpness=300)
NONE = Frame(best=0.1, luminance=120, sharpness=300)
SEVERAL = Frame(faces=[*ONE.faces, Face(0.7, 0.4, 0.2, 0.2, 0.8)], best=0.9, luminance=120, sharpness=300)
LETTERS = {"o": ONE, "n": NONE, "s": SEVERAL, "f": Frame(fault="It cannot be opened.")}


@given(
    seen=st.lists(frames, min_size=1, max_size=12),
    exempt=st.frozensets(st.sampled_from([52, 53, 55])),
    has_seen=st.booleans(),
)
def test_whatever_is_seen_is_told_as_any_detector_has_to(
    *, seen: list[Frame], exempt: frozenset[int], has_seen: bool
) -> None:
    told, sees = tell(Seen(seen, "A note."), exempt=exempt, has_seen=has_seen, evidence_id=7)

    assert len(told) <= EVENTS_MAX
    assert sees >= has_seen
    for each in told:
        text = msgspec.json.encode(each.result).decode()
        assert judge(each.event_type, each.severity, text) == []
        assert each.event_type not in exempt
        assert "modelVersion" in text
        if each.result.result is Sight.could_not_tell:
            assert (each.severity, each.event_type) == (0, EventType.FaceAnalysis)


def tell_of(letters: str, *, has_seen: bool = True, exempt: Sequence[int] = ()) -> list[Told]:
    seen = [msgspec.structs.replace(LETTERS[each], at_s=5.0 * place) for place, each in enumerate(letters)]
    return tell(Seen(seen), exempt=frozenset(exempt), has_seen=has_seen, evidence_id=7)[0]


def test_what_one_frame_alone_shows_in_a_film_is_not_told() -> None:
    blink, absent = tell_of("oonooo"), tell_of("oonnno")

    assert [each.event_type for each in blink] == [EventType.FaceAnalysis]
    assert [(each.event_type, each.at_s, each.result.frames) for each in absent] == [
        (EventType.FaceAnalysis, 0.0, 2),
        (EventType.FaceNotDetected, 10.0, 3),
    ]
    assert settle([finding_of(LETTERS[each])[0] for each in "osn"]) == [Finding.unclear] * 3


def test_that_no_face_is_there_counts_only_once_one_was_seen() -> None:
    first, later = tell_of("n", has_seen=False), tell_of("n")
    film = tell_of("nnnooonnn", has_seen=False)

    assert [(each.event_type, each.severity) for each in first] == [(EventType.FaceAnalysis, 0)]
    assert first[0].result.result is Sight.not_seen
    assert first[0].result.reasons == [NEVER_SEEN]
    assert [each.event_type for each in later] == [EventType.FaceNotDetected]
    assert [each.event_type for each in film] == [
        EventType.FaceAnalysis, EventType.FaceAnalysis, EventType.FaceNotDetected,
    ]  # fmt: skip


def test_of_what_a_candidate_is_exempt_from_nothing_is_said_r6() -> None:
    assert [each.event_type for each in tell_of("nnnsss", exempt=[52])] == [EventType.MultipleFacesDetected]
    assert [each.event_type for each in tell_of("nnnsss", exempt=[53])] == [EventType.FaceNotDetected]
