"""Bucket widths of a timeline (spec.md W-5). Pure."""

import pytest

from core_api.analytics.attempts import BUCKETS_AIM, BUCKETS_MAX, WIDTHS_S, bucket_width
from kernel.errors import InvalidInputError


def test_a_chosen_width_is_the_finest_that_gives_no_more_buckets_than_aimed_at() -> None:
    for span_s in (0.0, 1.0, 120.0, 120.1, 3600.0, 7200.0, 86_400.0):
        width = bucket_width(None, span_s)
        finer = [each for each in WIDTHS_S if each < width]

        assert span_s <= width * BUCKETS_AIM
        assert all(span_s > each * BUCKETS_AIM for each in finer)


def test_a_span_beyond_every_width_gets_the_widest() -> None:
    assert bucket_width(None, 1e9) == WIDTHS_S[-1]


def test_a_width_asked_for_is_kept_or_refused_with_the_finest_that_goes() -> None:
    assert bucket_width(60, 60.0 * BUCKETS_MAX) == 60
    with pytest.raises(InvalidInputError) as refusal:
        bucket_width(60, 60.0 * BUCKETS_MAX + 1)
    assert refusal.value.errors == [{"path": "bucket_s", "message": "at least 61 seconds for this attempt"}]
