"""
How far a version of a programme is, and an enrolment in one; who may move it where. Pure (spec.md M-3).

The same tables stand in the database (`programme_moves`), which refuses what is not in them.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from kernel.errors import ConflictError


class VersionState(StrEnum):
    """How far a version is; people are enrolled in the published one, and stay in it when it is retired."""

    draft = "draft"
    published = "published"
    retired = "retired"


class EnrolmentState(StrEnum):
    """How far somebody is. A completion is revoked when a requirement is met no more, until it is again."""

    active = "active"
    completed = "completed"
    revoked = "revoked"
    withdrawn = "withdrawn"


class Party(StrEnum):
    """Who moves it; the system, as submissions are judged."""

    staff = "staff"
    system = "system"


VERSION_MOVES: Final[Mapping[tuple[VersionState, VersionState], Party]] = {
    (VersionState.draft, VersionState.published): Party.staff,
    (VersionState.draft, VersionState.retired): Party.staff,
    (VersionState.published, VersionState.retired): Party.staff,
}
ENROLMENT_MOVES: Final[Mapping[tuple[EnrolmentState, EnrolmentState], Party]] = {
    (EnrolmentState.active, EnrolmentState.completed): Party.system,
    (EnrolmentState.active, EnrolmentState.withdrawn): Party.staff,
    (EnrolmentState.completed, EnrolmentState.revoked): Party.system,
    (EnrolmentState.completed, EnrolmentState.withdrawn): Party.staff,
    (EnrolmentState.revoked, EnrolmentState.completed): Party.system,
    (EnrolmentState.revoked, EnrolmentState.withdrawn): Party.staff,
}


def require_version_move(before: VersionState, after: VersionState, party: Party) -> None:
    """Raise ConflictError where the table does not have the move."""
    if VERSION_MOVES.get((before, after)) is not party:
        raise ConflictError(f"The version is {before}: it does not become {after}.")


def require_enrolment_move(before: EnrolmentState, after: EnrolmentState, party: Party) -> None:
    """Raise ConflictError where the table does not have the move."""
    if ENROLMENT_MOVES.get((before, after)) is not party:
        raise ConflictError(f"The enrolment is {before}: it does not become {after}.")


def judged(before: EnrolmentState, *, is_complete: bool) -> EnrolmentState:
    """Return the state that judging leads to; the same where nothing changes."""
    if is_complete:
        return EnrolmentState.completed
    return EnrolmentState.revoked if before is EnrolmentState.completed else before
