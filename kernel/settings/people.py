"""
Settings about people: tokens, sign-ins, imports, what one account may ask for.
"""

from typing import Annotated

from kernel.settings.about import about
from kernel.settings.deployment import Deployment


class People(Deployment, frozen=True, kw_only=True):
    """Tokens, sign-ins, imports, and what one account may ask for."""

    # -- tokens
    jwt_keys: Annotated[
        str,
        about(
            "HMAC keys as `kid:base64[,kid:base64]`; the first signs, all verify. At least 32 bytes each. "
            "For the core API and ingest alone: the writer and the pipeline neither make nor read tokens."
        ),
    ] = ""
    launch_keys: Annotated[
        str,
        about(
            "HMAC keys of launch links, in the same form; `jwt_keys` when empty. The core API's alone: with "
            "keys of their own, whoever has ingest's cannot make links."
        ),
    ] = ""
    access_token_s: Annotated[int, about("Life of an access token, seconds.", ge=60)] = 86_400
    refresh_token_s: Annotated[int, about("Life of a refresh token, seconds.", ge=60)] = 604_800
    logins_max: Annotated[int, about("Sign-ins of one user; the oldest makes room.", ge=1)] = 100
    refreshes_max: Annotated[int, about("Refreshes kept of one sign-in at most.", ge=1)] = 1000
    refresh_grace_s: Annotated[
        float,
        about(
            "How long a token spent a moment ago is taken for a race, not for theft, seconds.", ge=0, le=60
        ),
    ] = 10.0
    beacon_token_s: Annotated[
        int,
        about("Life of a token by which a page that is left posts its events, seconds.", ge=60, le=1800),
    ] = 1800
    launch_link_s: Annotated[int, about("Life of an unused launch link, seconds.", ge=60)] = 86_400
    launch_grace_s: Annotated[
        float,
        about(
            "How long a launch link that was used gives the same sign-in again, to the same address and "
            "browser: its reply may have got lost, seconds.",
            ge=0,
            le=600,
        ),
    ] = 120.0
    launch_uses_max: Annotated[int, about("Uses of one launch link within its grace.", ge=1, le=100)] = 20
    invitation_s: Annotated[
        int, about("Life of an unused invitation to set a first password, seconds.", ge=60)
    ] = 1_209_600

    # -- signing in
    bcrypt_rounds: Annotated[int, about("Cost of a password hash.", ge=4, le=16)] = 12
    login_queue_max: Annotated[int, about("Logins that may wait for a hashing thread.", ge=1)] = 64
    login_pair_places: Annotated[
        int,
        about("Places that sign-ins at one account from one address may hold in that queue.", ge=1),
    ] = 2
    login_account_share: Annotated[
        float, about("Share of that queue for sign-ins at one account, from anywhere.", gt=0, le=1)
    ] = 0.125
    login_network_share: Annotated[
        float, about("Share of that queue for one address that is not exempt.", gt=0, le=1)
    ] = 0.5
    registration: Annotated[
        str,
        about(
            "Who may register as a student of an organisation that allows it: closed, approval (an admin "
            "unlocks the account first) or open.",
            pattern=r"^(closed|approval|open)$(?!\n)",
        ),
    ] = "closed"

    # -- failed sign-ins (spec.md A-3)
    login_window_s: Annotated[int, about("Window over which failed sign-ins count, seconds.", ge=1)] = 300
    login_attempts_max: Annotated[
        int, about("Sign-ins in a window at one account from one address, until one is right.", ge=1)
    ] = 10
    login_accounts_max: Annotated[
        int, about("Accounts that may fail in a window from one address.", ge=2)
    ] = 20
    registrations_max: Annotated[
        int, about("Registrations in a window from one address that is not exempt.", ge=1)
    ] = 20
    login_alert_failures: Annotated[
        int, about("Failures within a minute from one address that raise an alert.", ge=1, le=100)
    ] = 5
    login_exempt_networks: Annotated[
        str,
        about("Networks behind which many people sit, as `10.0.0.0/8,2001:db8::/32`: no bound by address."),
    ] = ""

    # -- what one signed-in account may ask of one core API process
    account_requests_per_s: Annotated[float, about("Requests a second of one account, sustained.", gt=0)] = (
        25.0
    )
    account_burst_requests: Annotated[int, about("Requests of one account at once.", ge=1)] = 500
    account_request_bytes: Annotated[
        int, about("Decoded bytes of a body that count as one request more of its account.", ge=1024)
    ] = 64 << 10
    service_requests_per_s: Annotated[
        float, about("Requests a second of one service account, sustained.", gt=0)
    ] = 100.0
    service_burst_requests: Annotated[int, about("Requests of one service account at once.", ge=1)] = 2000
    account_idempotency_keys_max: Annotated[
        int, about("Idempotency-Keys of one account that the core API remembers at once.", ge=1)
    ] = 1000

    # -- people and exams in bulk
    import_lines_max: Annotated[int, about("Rows of one CSV file that is imported.", ge=1)] = 20_000
    import_field_chars_max: Annotated[
        int, about("Characters of one field of a CSV file that is imported.", ge=64, le=100_000)
    ] = 2_000
