"""For everybody: registration, sign-in and what follows from it."""

from typing import Final

from core_api.cases import bare
from core_api.identity import accounts, invitations, logins
from core_api.identity.passwords import HASHING
from kernel.access import Action
from kernel.http.web import Retry

ROUTES: Final = (
    bare(
        "POST /auth/register", accounts.register, None, name="register", status=202, parts=HASHING,
        says="Register as a student. The answer does not tell whether the e-mail address was known.",
    ),
    bare(
        "POST /auth/login", accounts.sign_in, None, name="login", parts=HASHING,
        says="Sign in with e-mail and password. Whatever is wrong, the answer is the same 401.",
    ),
    bare(
        "POST /auth/invitation", invitations.accept, None, name="accept_invitation", parts=HASHING,
        says="""
        Set a first password with an invitation's token, once, and sign in. Whatever is wrong with the token,
        the answer is the same 401.
        """,
    ),
    bare(
        "POST /admin/users/invitations", invitations.invite, Action.user_invite, name="invite_people",
        status=201, retry=Retry.told,
        says="""
        Invite up to 10,000 people who have no password to set one. The tokens are in this reply alone; an
        earlier invitation of the same person ends.
        """,
    ),
    bare(
        "POST /auth/refresh", logins.refresh, None, name="refresh",
        says="""
        Exchange a refresh token, once, for the next pair of tokens.

        A spent one that comes again ends the whole sign-in: two people hold it. Of two exchanges at the same
        moment one wins and the other is a 409.
        """,
    ),
    bare(
        "POST /auth/logout", logins.sign_out, Action.login_end, name="logout", retry=Retry.own_way,
        says="Sign out, here or everywhere; it holds within a second.",
    ),
    bare(
        "PUT /me/password", accounts.change_password, Action.password_change,
        name="change_password", parts=HASHING,
        retry=Retry.own_way,
        says="Change the caller's password. All their sign-ins end: sign in again.",
    ),
)  # fmt: skip
