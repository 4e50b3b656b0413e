"""What header fields say: who asks, in which language, in which coding (RFC 9110)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import NotAuthenticatedError
from kernel.http.fields import bearer, choices, coding, language, wants_page

FIELDS = st.text(st.sampled_from("enargzip-GB*;q=.,019 \tx/\x00é"), max_size=60)
OFFERED = ("en", "ar")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer  "])
def test_the_scheme_is_read_in_any_case(scheme: str) -> None:
    assert bearer(f"{scheme} a.token") == "a.token"


@pytest.mark.parametrize("field", ["", "Bearer", "Bearer ", "Basic dTpw", "Bearertoken", " Bearer x", "x"])
def test_what_is_no_bearer_token_is_refused(field: str) -> None:
    with pytest.raises(NotAuthenticatedError):
        bearer(field)


@pytest.mark.parametrize(
    ("field", "best"),
    [
        ("", "en"),
        ("ar", "ar"),
        ("fr", "en"),
        ("en-GB;q=0.3, ar", "ar"),
        ("ar;q=0.3, en-GB", "en"),
        ("ar, en", "ar"),
        ("en, ar", "en"),
        ("ar-EG,en;q=0.5", "ar"),
        ("AR-eg ; Q=0.9 , EN;q=0.8", "ar"),
        ("ar;q=0.5, *;q=0.9", "en"),
        ("en;q=0.1, *", "ar"),
        ("en;q=0", "ar"),
        ("en;q=0, ar;q=0", "en"),
        ("en-GB, en;q=0, ar;q=0.1", "ar"),
        ("fr-CH, fr;q=0.9, ar;q=0.2, *;q=0.1", "ar"),
        ("arabic, en;q=0.1", "en"),
        (";q=,,*;q=9e999", "en"),
        ("ar;q=2, en;q=0.1", "en"),
        ("ar;q=1.001, en;q=0.1", "ar"),
        ("fr," * 31 + "ar", "ar"),
        ("fr," * 32 + "ar", "en"),
    ],
)
def test_the_language_that_is_liked_best(field: str, best: str) -> None:
    assert language(field, OFFERED) == best


@pytest.mark.parametrize(
    ("field", "best"),
    [
        ("", None),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("X-GZIP", "gzip"),
        ("gzip;q=0", None),
        ("*", "zstd"),
        ("zstd;q=0, *", "gzip"),
        ("*;q=0, gzip", "gzip"),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0.5, gzip", "gzip"),
        ("br, deflate", None),
    ],
)
def test_the_coding_that_is_liked_best(field: str, best: str | None) -> None:
    assert coding(field, ("zstd", "gzip")) == best


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("*/*", False),
        ("application/json", False),
        ("application/json, text/html;q=0.5", False),
        ("", False),
    ],
)
def test_who_wants_a_page(field: str, *, wanted: bool) -> None:
    assert wants_page(field) is wanted


@given(FIELDS)
def test_no_field_fails_and_all_weights_are_shares(field: str) -> None:
    assert language(field, OFFERED) in OFFERED
    assert coding(field, ("zstd", "gzip")) in {"zstd", "gzip", None}
    assert wants_page(field) in {True, False}
    assert all(0 <= weight <= 1 for _, weight in choices(field))


@given(st.permutations(["en;q=0.2", "ar;q=0.9", "fr", "de;q=0.4"]))
def test_weights_decide_in_any_order(asked: list[str]) -> None:
    assert language(", ".join(asked), OFFERED) == "ar"
