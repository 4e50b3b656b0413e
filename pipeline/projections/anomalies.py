"""
How strange the events of attempts are: their sessions' cells, and what these come to in their exam.

An exam's turn that moves a cell over the bar marks the attempts that have one, so that they are counted again
(`pipeline/features/event_norms.py`, 0081_event_norms.sql).
"""

from typing import Final

import polars as pl

from kernel.settings import Settings
from pipeline.features.anomalies import SESSIONS, measured
from pipeline.features.event_norms import NORMS, event_norms, session_cells
from pipeline.features.frames import EVENTS, checked
from pipeline.projections.calibrations import unpacked
from pipeline.projections.projection import Frames, Layer, Projection
from warehouse.datasets.event_norms import EVENT_NORMS
from warehouse.datasets.session_cells import SESSION_CELLS


def cells(frames: Frames, _: Settings) -> pl.DataFrame:
    """Return the cells of each session with events."""
    return session_cells(
        measured(checked(frames["seen_events"], EVENTS), checked(frames["sessions"], SESSIONS))
    )


def norms(frames: Frames, _: Settings) -> pl.DataFrame:
    """Return what the calibrations of exams, as they are carried forward, come to."""
    found = [event_norms(*unpacked(state)) for state in frames["calibrations"]["state"]]
    return pl.concat([pl.DataFrame(schema=NORMS), *found])


CELLS: Final = Projection(
    layer=Layer.attempt,
    dataset=SESSION_CELLS,
    takes=("seen_events", "sessions"),
    compute=cells,
    is_published=False,
)
NORMED: Final = Projection(
    layer=Layer.exam, dataset=EVENT_NORMS, takes=("calibrations",), compute=norms, is_published=False
)
