"""The effective policy: its rules, for any assignments (spec.md E-3). Pure."""

from datetime import UTC, datetime, timedelta
from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from core_api.exams.policy import Defaults, Grant, Policy, Terms, effective

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

moments = st.integers(-48, 48).map(lambda hours: NOON + hours * HOUR)
terms = st.builds(
    Terms,
    opens_at=st.none() | moments,
    closes_at=st.none() | moments,
    duration_minutes=st.none() | st.integers(1, 300),
    extra_minutes=st.none() | st.integers(0, 90),
    attempts_allowed=st.none() | st.integers(1, 5),
    monitoring_mode=st.none() | st.integers(0, 2),
    rule_exemptions=st.none() | st.lists(st.integers(1, 9), max_size=4).map(tuple),
)
grants = st.lists(
    st.builds(Grant, to_group=st.booleans(), terms=terms, override=st.none() | terms), max_size=6
)
defaults = st.builds(Defaults, duration_minutes=st.integers(1, 300), monitoring_mode=st.integers(0, 2))


@given(defaults, grants, moments, st.randoms())
def test_the_order_of_assignments_does_not_matter(
    exam: Defaults, given_: list[Grant], now: datetime, random: Random
) -> None:
    shuffled = list(given_)
    random.shuffle(shuffled)

    assert effective(exam, shuffled, now=now) == effective(exam, given_, now=now)


@given(defaults, grants, moments)
def test_the_same_assignment_twice_is_the_same_as_once(
    exam: Defaults, given_: list[Grant], now: datetime
) -> None:
    assert effective(exam, given_ * 2, now=now) == effective(exam, given_, now=now)


@given(
    defaults,
    grants,
    st.builds(Grant, to_group=st.booleans(), terms=terms, override=st.none() | terms),
    moments,
)
def test_nothing_added_takes_an_accommodation_away(
    exam: Defaults, given_: list[Grant], added: Grant, now: datetime
) -> None:
    before, after = effective(exam, given_, now=now), effective(exam, [*given_, added], now=now)

    assert after.extra_minutes >= before.extra_minutes
    assert set(after.rule_exemptions) >= set(before.rule_exemptions)


@given(defaults, grants, terms, moments)
def test_what_is_said_to_the_candidate_wins_over_what_is_said_to_their_groups(
    exam: Defaults, given_: list[Grant], own: Terms, now: datetime
) -> None:
    groups = [msgspec.structs.replace(each, to_group=True, override=None) for each in given_]
    policy = effective(exam, [*groups, Grant(to_group=False, terms=own)], now=now)

    for name in ("duration_minutes", "attempts_allowed", "monitoring_mode"):
        said = getattr(own, name)
        assert said is None or getattr(policy, name) == said
    if own.opens_at is not None or own.closes_at is not None:
        assert (policy.opens_at, policy.closes_at) == (own.opens_at, own.closes_at)


@given(defaults, terms, terms, moments)
def test_an_override_replaces_what_it_names_of_its_assignment_and_nothing_else(
    exam: Defaults, base: Terms, change: Terms, now: datetime
) -> None:
    policy = effective(exam, [Grant(to_group=True, terms=base, override=change)], now=now)

    for name in ("opens_at", "closes_at", "duration_minutes", "attempts_allowed", "monitoring_mode"):
        said = getattr(change, name) if getattr(change, name) is not None else getattr(base, name)
        default = getattr(exam, name, None)
        assert getattr(policy, name) == (default if said is None else said)


@given(defaults, grants, moments)
def test_every_value_was_said_by_somebody(exam: Defaults, given_: list[Grant], now: datetime) -> None:
    policy = effective(exam, given_, now=now)
    said = [each for grant in given_ for each in (grant.terms, grant.override) if each is not None]

    assert policy.duration_minutes in {exam.duration_minutes, *(each.duration_minutes for each in said)}
    assert policy.attempts_allowed in {exam.attempts_allowed, *(each.attempts_allowed for each in said)}
    assert policy.monitoring_mode in {exam.monitoring_mode, *(each.monitoring_mode for each in said)}
    assert policy.opens_at in {None, *(each.opens_at for each in said)}
    assert policy.closes_at in {None, *(each.closes_at for each in said)}


@given(defaults, st.lists(terms, min_size=1, max_size=5), moments)
def test_of_several_windows_one_that_is_open_is_taken_and_never_a_mixture(
    exam: Defaults, given_: list[Terms], now: datetime
) -> None:
    policy = effective(exam, [Grant(to_group=True, terms=each) for each in given_], now=now)
    windows = {
        (each.opens_at, each.closes_at)
        for each in given_
        if each.opens_at is not None or each.closes_at is not None
    }

    assert (policy.opens_at, policy.closes_at) in (windows or {(None, None)})
    assert policy.is_open(now) == (not windows or any(is_open(*window, now) for window in windows))


def is_open(opens_at: datetime | None, closes_at: datetime | None, now: datetime) -> bool:
    return (opens_at is None or opens_at <= now) and (closes_at is None or now < closes_at)


@given(defaults, grants, moments)
def test_an_attempt_lasts_its_time_or_to_the_end_of_the_window_and_the_extra_time_beyond_either(
    exam: Defaults, given_: list[Grant], now: datetime
) -> None:
    policy = effective(exam, given_, now=now)
    extra, lasts = timedelta(minutes=policy.extra_minutes), timedelta(minutes=policy.duration_minutes)
    end = policy.expires_at(now)

    assert end <= now + lasts + extra
    if policy.is_open(now):
        assert end > now + extra
    assert policy.closes_at is None or end <= policy.closes_at + extra


@given(defaults, grants, moments)
def test_a_policy_is_read_back_from_its_json_as_it_was(
    exam: Defaults, given_: list[Grant], now: datetime
) -> None:
    policy = effective(exam, given_, now=now)

    assert msgspec.json.decode(msgspec.json.encode(policy), type=Policy) == policy
