"""For everybody: registration, sign-in and what follows from it."""

from typing import Final

from core_api.cases import Part, case
from core_api.identity import accounts, logins
from core_api.identity.passwords import CHECKER
from core_api.identity.throttle import LIMITS
from kernel.access import Action

PARTS: Final[dict[str, Part]] = {
    "checker": lambda request: request.app[CHECKER],
    "limits": lambda request: request.app[LIMITS],
}


ROUTES: Final = (
    case(
        accounts.register, name="register", method="POST", path="/auth/register", action=None,
        tag="Authentication", status=202, also_bare=True,
        parts=PARTS,
        says="Register as a student. The answer does not tell whether the e-mail address was known.",
    ),
    case(
        accounts.sign_in, name="login", method="POST", path="/auth/login", action=None, tag="Authentication",
        also_bare=True,
        parts=PARTS,
        says="Sign in with e-mail and password. Whatever is wrong, the answer is the same 401.",
    ),
    case(
        logins.refresh, name="refresh", method="POST", path="/auth/refresh", action=None,
        tag="Authentication", also_bare=True,
        says="""
        Exchange a refresh token, once, for the next pair of tokens.

        A spent one that comes again ends the whole sign-in: two people hold it. Of two exchanges at the same
        moment one wins and the other is a 409.
        """,
    ),
    case(
        logins.sign_out, name="logout", method="POST", path="/auth/logout", action=Action.login_end,
        tag="Authentication", also_bare=True,
        says="Sign out, here or everywhere; it holds within a second.",
    ),
    case(
        accounts.change_password, name="change_password", method="PUT", path="/me/password",
        action=Action.password_change, tag="Authentication", also_bare=True,
        parts=PARTS,
        says="Change the caller's password. All their sign-ins end: sign in again.",
    ),
)  # fmt: skip
