"""
Is the tier that runs here ready? What the image's health check asks: `python -m deploy.ready`.

The same settings say where a tier serves and where it is asked; 0 when it says so itself, 1 when it does not.
"""

import sys
import urllib.request

from kernel.http.networks import http_url
from kernel.settings import load

ANSWERS_WITHIN_S = 3


def main() -> int:
    """Ask the tier of this machine's settings; return the exit code."""
    settings = load()
    url = f"{http_url(settings.http_host, settings.metrics_port or settings.http_port)}/readyz"
    try:
        with urllib.request.urlopen(url, timeout=ANSWERS_WITHIN_S):  # noqa: S310  an address of our own
            return 0
    except OSError as error:
        print(f"{url}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
