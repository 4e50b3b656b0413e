"""
How the bodies of each route are written: where the events stand in them, and how members are spelled. Pure.

Whatever a reply says of a place in a request, it says by the path in the body that was sent: the body of a
single event has `severity`, a batch `events[3].severity`, a list `[3].severity`; an event is `events[3]`,
and a whole body `body`. A member that is missing is told at the object that lacks it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from kernel.errors import InvalidInputError, TooLargeError
from kernel.settings import Settings
from kernel.values import below


class Fault(Struct, frozen=True, gc=False):
    """
    What is wrong with a member of an event, in the words of `EventIn`; with all of the event where `member`
    is empty. `place` is the event's index, None for what stands beside the events; `inside` is where in the
    member it is, as `boxes[2].x`.
    """

    place: int | None
    member: str
    message: str
    is_size: bool = False
    inside: str = ""

    def at(self, place: int | None) -> "Fault":
        """Return it at another place."""
        return replace(self, place=place)


class Form(Struct, frozen=True):
    """`event` is where one stands, `spell` says how a member of ours is written in the request."""

    event: str
    spell: Callable[[str], str]

    def path(self, place: int | None, member: str = "", inside: str = "") -> str:
        """Return where a member stands in the request, or what is in it; its event's place without one."""
        event = "" if place is None else self.event.format(place)
        path = ".".join(filter(None, (event, self.spell(member)))) or "body"
        return f"{path}{'.' if inside[:1].isalpha() else ''}{inside}"

    def errors(self, faults: Iterable[Fault]) -> list[dict[str, str]]:
        """Return faults as a reply tells them."""
        return [
            {"path": self.path(each.place, each.member, each.inside), "message": each.message}
            for each in faults
        ]

    def refusal(self, faults: Sequence[Fault]) -> InvalidInputError | TooLargeError:
        """Return the refusal for the faults: 413 where all of them are about sizes."""
        if all(each.is_size for each in faults):
            return TooLargeError("Too large; nothing was stored.", errors=self.errors(faults))
        return InvalidInputError(
            "Some values are not allowed; nothing was stored.", errors=self.errors(faults)
        )

    def unknown_path(self, place: int | None, name: str, length_max: int) -> str:
        """Return where an unknown member stands; its name is somebody's own (`kernel.values.below`)."""
        return below("" if place is None else self.event.format(place), name, length_max=length_max)


def _camel(member: str) -> str:
    head, *rest = member.split("_")
    return head + "".join(map(str.capitalize, rest))


def _monitor(member: str) -> str:
    return "data" if member == "metadata_json" else member


ALONE: Final = Form("", _camel)
BATCH: Final = Form("events[{}]", _camel)
MONITOR_ALONE: Final = Form("", _monitor)
MONITOR_LIST: Final = Form("[{}]", _monitor)


class Ignored(Struct, frozen=True):
    """Members of a request that nobody knows: paths with their place, and how many there are at each."""

    named: list[tuple[int | None, str]]
    counts: dict[int | None, int]

    def at(self, places: Iterable[int | None]) -> tuple[list[str], int]:
        """Return the paths of those at these places, and how many are there beside them."""
        wanted = set(places)
        paths = [path for place, path in self.named if place in wanted]
        return paths, sum(self.counts.get(place, 0) for place in wanted) - len(paths)


NOTHING_IGNORED: Final = Ignored([], {})


class Gathering:
    """
    Unknown members as they are found: `ignored_members_max` are named, every name once before any comes
    twice, and the others are counted. A request with over `unknown_members_max` is refused; there is `room`
    for so many more. What stands in one, and each time that one stands in an object, counts as well: all of
    it has to be looked through.
    """

    def __init__(self, form: Form, settings: Settings) -> None:
        """Nothing was found yet."""
        self._form, self._settings = form, settings
        self._first: dict[str, int] = {}  # of each name, which of the `_seen` it was
        self._seen: list[tuple[int | None, str]] = []
        self._counts: dict[int | None, int] = {}
        self.room = settings.unknown_members_max

    def add(self, place: int | None, names: Sequence[str], count: int) -> None:
        """Take the unknown members of one object; raises TooLargeError where their count gets too high."""
        self.room -= count
        if self.room < 0:
            message = f"Expected at most {self._settings.unknown_members_max} unknown members in a request"
            raise self._form.refusal([Fault(place, "", message, is_size=True)])
        most = self._settings.ignored_members_max
        self._counts[place] = len(names)
        for name in names[:most]:
            if name not in self._first and len(self._first) < most:
                self._first[name] = len(self._seen)
            elif len(self._seen) >= 2 * most:
                continue
            self._seen.append((place, name))

    def told(self) -> Ignored:
        """Return what a reply says of them, in the order of the request."""
        if not self._seen:
            return NOTHING_IGNORED
        first = set(self._first.values())
        again = [at for at in range(len(self._seen)) if at not in first]
        chosen = sorted([*first, *again[: self._settings.ignored_members_max - len(first)]])
        path, length_max = self._form.unknown_path, self._settings.ignored_name_characters_max
        return Ignored(
            [(self._seen[at][0], path(*self._seen[at], length_max)) for at in chosen], self._counts
        )
