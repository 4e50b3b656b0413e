"""Settings of what is exported (spec.md W-6)."""

from typing import Annotated

from kernel.settings.about import about
from kernel.settings.summaries import Summaries


class Exports(Summaries, frozen=True, kw_only=True):
    """How much is exported at once."""

    exports_max: Annotated[
        int,
        about("Exports that one process sends at once; each has a connection of its pool.", ge=1, le=50),
    ] = 3
    account_exports_max: Annotated[int, about("Of them those of one account.", ge=1, le=50)] = 1
    export_wait_s: Annotated[
        float,
        about("How long an export waits for others to end, before it is refused, seconds.", gt=0, le=60),
    ] = 5.0
    export_home_page: Annotated[
        str,
        about(
            "Where candidates, exams and questions have their names in xAPI and Caliper exports: an address "
            "of your own, to be set before the first export and never changed. No slash at its end.",
            pattern=r"^https?://[^\s/]+(/[^\s/]+)*$(?!\n)",
        ),
    ] = "https://veritas.invalid"
    export_s_max: Annotated[
        float,
        about("Longest that one export may take; a slower client is cut off, seconds.", gt=0, le=86_400),
    ] = 900.0
