"""What a mark concerns is computed, and nothing else (spec.md W-3)."""

import re
from importlib.resources import files

import pytest

from pipeline.projections.concerned import concerned, rests_on
from pipeline.projections.projection import Layer
from pipeline.projections.reading import DURABLE, STORED
from pipeline.projections.registry import PROJECTIONS

OWN = {layer: [each for each in PROJECTIONS if each.layer is layer] for layer in Layer}
EVENTS = {"seen_events", "item_events", "typing"}


@pytest.mark.parametrize(
    ("layer", "frames", "names"),
    [
        (Layer.attempt, ["learning_momentum"], ["behavior_analysis"]),
        (Layer.attempt, ["performance_metrics"], ["behavior_analysis"]),
        (Layer.attempt, ["draft_passages"], ["draft_analysis", "behavior_analysis"]),
        (Layer.attempt, ["watched", "sessions"], ["session_cells", "behavior_analysis"]),
        (Layer.exam, ["behavior_analysis"], ["exam_performance_summary"]),
        (Layer.exam, ["draft_passages"], []),
        (Layer.student, ["topic_norms"], ["performance_metrics"]),
        (Layer.student, ["exam_norms", "test_statistics"], ["learning_momentum"]),
        (Layer.student, ["behavior_analysis"], ["performance_metrics", "student_risk_summary"]),
    ],
)
def test_what_rests_on_a_change_is_computed_and_nothing_else(
    layer: Layer, frames: list[str], names: list[str]
) -> None:
    assert [each.dataset.name for each in concerned(OWN[layer], frames)] == names


def test_who_is_judged_by_another_norm_is_judged_without_their_events() -> None:
    norms = ["learning_momentum", "event_norms", "response_times", "answer_similarity", "performance_metrics"]

    read = {name for each in concerned(OWN[Layer.attempt], norms) for name in each.takes}
    assert read & EVENTS == set()


def test_what_was_handed_in_concerns_all_of_its_layers() -> None:
    anew = {"submissions", "submission_items", "session_cells", "draft_analysis", "behavior_analysis"}

    assert [concerned(OWN[layer], anew) for layer in (Layer.exam, Layer.student)] == [
        OWN[Layer.exam],
        OWN[Layer.student],
    ]


def test_every_frame_that_a_trigger_names_is_one_and_concerns_somebody() -> None:
    marks = (files("sql") / "migrations" / "0106_marks_say_of_what.sql").read_text()
    found = re.findall(r"(?:SELECT|VALUES \()\s*'(attempt|student)'.*?'\{([a-z_,]+)\}'", marks, re.DOTALL)

    assert len(found) == marks.count("'{") - 2  # of defaults that are no frames
    for layer, frames in found:
        for frame in frames.split(","):
            assert frame in STORED or frame in DURABLE
            assert concerned(OWN[Layer(layer)], [frame]) != [], (layer, frame)


def test_a_frame_rests_on_what_its_statements_name() -> None:
    assert rests_on("tallies") >= {"submissions", "submission_items"}
    assert rests_on("exam_sums") >= {"submissions", "behavior_analysis"}
    assert rests_on("momenta") == {"learning_momentum"}
    assert rests_on("attempts") == {"submissions", "behavior_analysis"}
