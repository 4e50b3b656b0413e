"""Cohen's kappa against its plain definition over pairs, and its standard error against the delta method."""

from itertools import product
from math import sqrt

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core_api.reviews.kappa import kappa_of, standard_error

SIZE = 3
COUNTS = st.lists(st.lists(st.integers(0, 40), min_size=SIZE, max_size=SIZE), min_size=SIZE, max_size=SIZE)
STEP = 1e-6


def plain(shares: dict[tuple[int, int], float]) -> float:
    """Return kappa of the shares of pairs: agreement beyond that of two who draw apart."""
    agree = sum(share for (a, b), share in shares.items() if a == b)
    by_chance = sum(
        one * other for (a, _), one in shares.items() for (_, b), other in shares.items() if a == b
    )
    return (agree - by_chance) / (1 - by_chance)


@given(COUNTS)
def test_kappa_is_what_its_definition_says_of_each_pair_c2(counts: list[list[int]]) -> None:
    found = kappa_of(counts)
    pairs = sum(map(sum, counts))
    assert found.pairs == pairs
    if found.kappa is None:
        assert pairs == 0 or sum(1 for row in counts for each in row if each) == 1
        return
    shares = {(i, j): counts[i][j] / pairs for i, j in product(range(SIZE), repeat=2)}
    assert found.kappa == pytest.approx(plain(shares), abs=1e-9)
    turned = [list(row) for row in zip(*counts, strict=True)]
    assert kappa_of(turned).kappa == found.kappa, "it knows neither of the two from the other"
    assert kappa_of([row[::-1] for row in counts[::-1]]).kappa == found.kappa, "nor any status"
    assert kappa_of([[2 * each for each in row] for row in counts]).kappa == pytest.approx(found.kappa)


@given(COUNTS)
def test_the_standard_error_is_that_of_the_delta_method_c2(counts: list[list[int]]) -> None:
    assume(kappa_of(counts).kappa is not None)
    pairs = sum(map(sum, counts))
    shares = {(i, j): counts[i][j] / pairs for i, j in product(range(SIZE), repeat=2)}
    slopes = {
        at: (plain(shares | {at: share + STEP}) - plain(shares | {at: share - STEP})) / (2 * STEP)
        for at, share in shares.items()
    }
    mean = sum(shares[at] * slope for at, slope in slopes.items())
    spread = sum(shares[at] * slope**2 for at, slope in slopes.items()) - mean**2

    assert standard_error(counts) == pytest.approx(sqrt(max(spread, 0) / pairs), rel=1e-4, abs=1e-4)
