"""
The core API as an application: its routes, its pool, its health.

Another room's routes can stand beside these in the same application and document; who composes them says so.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import Any

from aiohttp import web

from core_api.actors import ALLOWANCES, KEYRING, LAUNCH_KEYRING, allowances_of, guarded
from core_api.analytics import routes as analytics_routes
from core_api.attempts import routes as attempts_routes
from core_api.authoring import routes as authoring_routes
from core_api.claims import deadlines
from core_api.claims import routes as claims_routes
from core_api.database import POOL, ping
from core_api.evidence import closing
from core_api.evidence import routes as evidence_routes
from core_api.evidence.storage import STORAGE, keep_storage
from core_api.exams import routes as exams_routes
from core_api.exports.sending import EXPORTS, Exports, giving_way
from core_api.identity import routes as identity_routes
from core_api.identity.passwords import CHECKER, PasswordChecker
from core_api.identity.revoking import telling
from core_api.identity.throttle import LIMITS, limits_of
from core_api.interventions import pauses
from core_api.interventions import routes as interventions_routes
from core_api.ledger import routes as ledger_routes
from core_api.ledger.viewings import keep_views, noted
from core_api.observations import routes as observations_routes
from core_api.people import origins
from core_api.people import routes as people_routes
from core_api.privacy import routes as privacy_routes
from core_api.proctoring import client_socket, live_feed
from core_api.proctoring import routes as proctoring_routes
from core_api.programmes import orchestrator
from core_api.programmes import routes as programmes_routes
from core_api.remediations import applying
from core_api.remediations import routes as remediations_routes
from core_api.retention import routes as retention_routes
from core_api.reviews import routes as reviews_routes
from core_api.risk import routes as risk_routes
from core_api.submissions import expiry
from core_api.submissions import routes as submissions_routes
from core_api.web import documentation
from core_api.web.idempotency import repeatable
from kernel.errors import DomainError
from kernel.http.health import ReadyCheck, add_health
from kernel.http.in_turn import in_turn
from kernel.http.origins import attach_origins
from kernel.http.web import SETTINGS, Route, mount, new_app
from kernel.postgres import open_pool
from kernel.revocation import attach_revocations
from kernel.running.tasks import WATCH
from kernel.settings import Settings
from kernel.tokens import Keyring


def routes() -> list[Route]:
    """Return every route of the core API, each with its turn and its access check in front of it."""
    groups: Iterable[Sequence[Route]] = (
        identity_routes.ROUTES,
        attempts_routes.ROUTES,
        submissions_routes.ROUTES,
        observations_routes.ROUTES,
        proctoring_routes.ROUTES,
        remediations_routes.ROUTES,
        reviews_routes.ROUTES,
        claims_routes.ROUTES,
        programmes_routes.ROUTES,
        interventions_routes.ROUTES,
        risk_routes.ROUTES,
        evidence_routes.ROUTES,
        authoring_routes.ROUTES,
        exams_routes.ROUTES,
        analytics_routes.ROUTES,
        people_routes.ROUTES,
        retention_routes.ROUTES,
        privacy_routes.ROUTES,
        ledger_routes.ROUTES,
        documentation.ROUTES,
    )
    return [in_turn(guarded(noted(repeatable(route)))) for group in groups for route in group]


def _nothing() -> dict[str, Any]:
    return {}


async def build(
    settings: Settings,
    *,
    beside: Sequence[Route] = (),
    checks: Sequence[ReadyCheck] = (),
    level: Callable[[], dict[str, Any]] = _nothing,
) -> web.Application:
    """
    Return the application, not yet started; its pool opens and closes with it.

    Args:
        settings: of the process.
        beside: routes of other rooms that are served and documented together with these.
        checks: their readiness checks.
        level: what /readyz says beside the verdict.

    Raises:
        ValueError: `jwt_keys` is missing or malformed, or `launch_keys`, `login_exempt_networks` or
            `trusted_proxies` is malformed, or a store of evidence has no address that is one.
    """
    app = new_app(settings)
    app[KEYRING] = Keyring.parse(settings.jwt_keys)
    app[LAUNCH_KEYRING] = Keyring.parse(settings.launch_keys or settings.jwt_keys)
    served = [*routes(), *beside]
    documentation.publish(app, served)
    mount(app, served)
    app[LIMITS] = limits_of(settings)
    app[ALLOWANCES] = allowances_of(settings)
    app[EXPORTS] = Exports(settings.exports_max, settings.account_exports_max, settings.export_wait_s)
    revocations = attach_revocations(app)
    known = [_postgres_check(app), revocations.ready, *checks]
    add_health(app, known, level, links=documentation.LINKS)
    app.cleanup_ctx.append(_pool)
    attach_origins(app, partial(origins.changed, app), away=(DomainError,))
    app.cleanup_ctx.append(keep_views)
    app.cleanup_ctx.append(_checker)
    app.cleanup_ctx.append(giving_way)
    app.cleanup_ctx.append(lambda app: telling(app, settings))
    app.cleanup_ctx.append(keep_storage)
    app.cleanup_ctx.append(_sweeper)
    app.cleanup_ctx.append(live_feed.keep_feeds)
    app.on_shutdown.append(live_feed.end_watches)
    app.cleanup_ctx.append(client_socket.keep_clients)
    app.on_shutdown.append(client_socket.end_clients)
    return app


def _postgres_check(app: web.Application) -> ReadyCheck:
    async def check() -> str | None:
        return await ping(app[POOL])

    return check


async def _pool(app: web.Application) -> AsyncIterator[None]:
    async with await open_pool(app[SETTINGS]) as pool:
        app[POOL] = pool
        yield


async def _checker(app: web.Application) -> AsyncIterator[None]:
    settings = app[SETTINGS]
    checker = PasswordChecker(
        rounds=settings.bcrypt_rounds,
        waiting_max=settings.login_queue_max,
        pair_places=settings.login_pair_places,
        account_share=settings.login_account_share,
        network_share=settings.login_network_share,
    )
    app[CHECKER] = checker
    yield
    checker.close()


async def _sweeper(app: web.Application) -> AsyncIterator[None]:
    settings = app[SETTINGS]
    async with app[WATCH].kept(
        ("expiry", lambda: expiry.keep_sweeping(app[POOL], settings.expiry_sweep_s)),
        ("remediations", lambda: applying.keep_sweeping(app[POOL], settings.remediation_sweep_s)),
        ("pauses", lambda: pauses.keep_ending(app[POOL], settings)),
        ("claims", lambda: deadlines.keep_sweeping(app[POOL], settings)),
        ("programmes", lambda: orchestrator.keep_sweeping(app[POOL], settings)),
        ("evidence", lambda: closing.keep_sweeping(app[POOL], app[STORAGE])),
    ):
        yield
