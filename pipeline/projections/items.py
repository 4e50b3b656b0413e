"""
Item and test statistics of each form, from its tally as it is carried forward.
"""

from collections.abc import Iterator
from typing import Final

import polars as pl

from kernel.settings import Settings
from pipeline.features import items, reliability
from pipeline.features.moments import Tally, unpacked
from pipeline.features.reliability import Named
from pipeline.projections.projection import Frames, Layer, Projection
from warehouse.datasets.item_analysis import ITEM_ANALYSIS
from warehouse.datasets.test_statistics import TEST_STATISTICS


def _tallies(frames: Frames) -> Iterator[tuple[Tally, Named]]:
    for row in frames["tallies"].iter_rows(named=True):
        named = Named(row["exam_id"], row["organisation_id"], row["form_id"], row["as_of"])
        yield unpacked(row["tally"]), named


def _items(frames: Frames, _: Settings) -> pl.DataFrame:
    return items.as_frame([row for tally, named in _tallies(frames) for row in items.item_rows(tally, named)])


def _tests(frames: Frames, _: Settings) -> pl.DataFrame:
    return reliability.as_frame([reliability.statistics_row(*each) for each in _tallies(frames)])


ITEMS: Final = Projection(layer=Layer.exam, dataset=ITEM_ANALYSIS, takes=("tallies",), compute=_items)
TESTS: Final = Projection(layer=Layer.exam, dataset=TEST_STATISTICS, takes=("tallies",), compute=_tests)
