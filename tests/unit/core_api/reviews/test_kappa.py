"""Cohen's kappa against published examples (spec.md C-2)."""

import pytest

from core_api.reviews.kappa import kappa_of, standard_error

# Two raters diagnose 100 people: psychotic, neurotic, organic. Fleiss, Statistical Methods for Rates and
# Proportions, table 13.1: p_o 0.89, p_e 0.66, kappa 0.68, interval 0.51 to 0.85.
FLEISS = [[75, 1, 4], [5, 4, 1], [0, 0, 10]]
# As SAS prints it for 19 pairs, to four digits; statsmodels holds itself to the same.
PRINTED = [[0, 4, 1], [0, 8, 0], [0, 1, 5]]
# Two film critics: con, mixed, pro. Agresti, An Introduction to Categorical Data Analysis, table 8.7.
CRITICS = [[24, 8, 13], [8, 13, 11], [10, 9, 64]]


def test_kappa_and_its_interval_are_those_of_published_examples_c2() -> None:
    found, printed, critics = kappa_of(FLEISS), kappa_of(PRINTED), kappa_of(CRITICS)

    assert (found.pairs, found.observed_agreement, found.expected_agreement) == (100, 0.89, 0.66)
    assert found.kappa == pytest.approx(23 / 34)
    assert found.confidence_interval is not None
    assert (found.confidence_interval.low, found.confidence_interval.high) == pytest.approx(
        (0.51, 0.85), abs=0.006
    )
    assert (printed.kappa, standard_error(PRINTED)) == pytest.approx((0.4842, 0.1380), abs=5e-5)
    assert (critics.kappa, standard_error(CRITICS)) == pytest.approx((0.389, 0.060), abs=5e-4)


@pytest.mark.parametrize(
    ("counts", "kappa", "reason"),
    [
        ([[0, 0], [0, 0]], None, "no_pairs"),
        ([[40, 0], [0, 0]], None, "one_status"),
        ([[1, 0], [0, 1]], 1.0, "few_pairs"),
        ([[0, 20], [20, 0]], -1.0, None),
        ([[20, 0], [0, 20]], 1.0, None),
        ([[10, 10], [10, 10]], 0.0, None),
        ([[30, 10], [0, 0]], 0.0, None),
    ],
)
def test_what_cannot_be_said_is_null_with_its_reason_c2(
    counts: list[list[int]], kappa: float | None, reason: str | None
) -> None:
    found = kappa_of(counts)

    assert (found.kappa, found.reason) == (kappa, reason)
    assert (found.confidence_interval is None) == (reason is not None)
