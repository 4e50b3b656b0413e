"""
What a projection is: the layer that it belongs to, what it takes, the pure function that computes it, and the
dataset that its rows are.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum

import polars as pl
from msgspec import Struct

from kernel.settings import Settings
from warehouse.layout import Dataset

Frames = Mapping[str, pl.DataFrame]


class Layer(StrEnum):
    """
    Whose numbers are computed together. What changes in a layer is marked in those after it: an attempt's
    numbers in its exam and its student, an exam's rows about students in these.
    """

    attempt = "attempt"
    exam = "exam"
    student = "student"

    @property
    def key(self) -> str:
        """Return the column that holds the layer's key in every dataset of it."""
        return f"{self.value}_id"


class Projection(Struct, frozen=True, kw_only=True):
    """
    A dataset as it is kept up to date in `reporting.<dataset>`, and from there in Parquet.

    Attributes:
        layer: whose keys it is computed for. The dataset has the layer's column, `Layer.key`.
        dataset: its rows, and the name of the table in `reporting`, whose columns are the dataset's.
        takes: names of the frames that it is computed from: datasets of other projections, as they stand
            (those that precede in the layer: as they were just computed), and what `sources.sql` has.
        compute: pure; from these frames, and what an operator has set, all rows of the turn's keys, in any
            order. A key that gets no row has none any more. The result of a key depends on nothing of the
            others in the turn.
        is_published: false where the table is for computing alone, and no Parquet.
    """

    layer: Layer
    dataset: Dataset
    takes: tuple[str, ...]
    compute: Callable[[Frames, Settings], pl.DataFrame]
    is_published: bool = True
