"""What doctor makes of the answers on a tier's port, whoever gives them."""

import http.server
import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import msgspec
import pytest
from rich.console import Console

from deploy import ready
from deploy.commands.doctor import print_findings
from deploy.commands.findings import Finding, live, metrics_of, readiness
from kernel.settings import load


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """Answer every request so, and give the address."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        serving.join()


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (200, b'{"status":"ok","wrong":[],"pid":1}', "ready"),
        (200, b'{"status":"degraded","wrong":[],"degraded":["no Parquet","no mail"]}', "no Parquet; no mail"),
        (503, b'{"status":"unavailable","wrong":["PostgreSQL is away"]}', "PostgreSQL is away"),
        (404, b'{"type":"about:blank","status":404}', "answers 404, and not as a tier does"),
        (404, b"{}", "answers 404, and not as a tier does"),
        (200, b"<html>Welcome</html>", "answers 200, and not as a tier does"),
        (502, b"\xff\xfe", "answers 502, and not as a tier does"),
    ],
)
def test_only_what_answers_as_a_tier_is_called_ready(status: int, body: bytes, told: str) -> None:
    with answering(status, body) as url:
        assert readiness(url) == told


@pytest.mark.parametrize(
    ("lag", "ok", "said"),
    [
        ("0.5", True, "changes told after 0.50 s at most in the last minute"),
        ("1.25", False, "changes told after 1.25 s at most in the last minute"),
        ("NaN", True, "nothing told lately"),
    ],
)
def test_changes_that_have_reached_watchers_late_of_late_are_a_finding_u1(
    lag: str, said: str, *, ok: bool
) -> None:
    """Whatever the mean since the process began."""
    told = (
        "veritas_live_watches 7.0\nveritas_live_lag_seconds_count 28.0\nveritas_live_lag_seconds_sum 99.0\n"
    )
    with answering(200, f"{told}veritas_live_lag_recent_seconds {lag}\n".encode()) as url:
        [found] = live(load({}, http_port=urlsplit(url).port), None)

    assert (found.ok, found.required) == (ok, False)
    assert found.found == f"7 watches, 0 sockets of candidates, {said}, 0 slow watchers dropped"


def test_what_speaks_no_http_is_told_as_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"

        def greet() -> None:
            for _ in range(2):
                client, _ = server.accept()
                with client:
                    client.recv(4096)
                    client.sendall(b"220 mail.example ESMTP\r\n")

        greeting = threading.Thread(target=greet)
        greeting.start()
        assert readiness(url) == "no answer in HTTP (BadStatusLine)"
        assert metrics_of(url) == {}
        greeting.join()
    assert "refused" in readiness(url)
    assert metrics_of(url) == {}


def test_metrics_without_labels_are_read_and_anything_else_is_none() -> None:
    told = b'# HELP a b\na_total 3.0\nmost 1.05e+08\nby{name="x"} 4.0\nHello world\nnot 1.2.3\n'
    with answering(200, told) as url:
        assert metrics_of(url) == {"a_total": 3.0, "most": 1.05e8}


@pytest.mark.parametrize(("setting", "other"), [("HTTP", "METRICS"), ("METRICS", "HTTP")])
@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_images_health_check_asks_the_tier_of_its_settings(
    monkeypatch: pytest.MonkeyPatch, setting: str, other: str, status: int, code: int
) -> None:
    with answering(status, b"{}") as url:
        monkeypatch.setenv(f"VERITAS_{setting}_PORT", str(urlsplit(url).port))
        monkeypatch.setenv(f"VERITAS_{other}_PORT", "0" if other == "METRICS" else "1")
        monkeypatch.setenv("VERITAS_HTTP_HOST", "0.0.0.0")  # noqa: S104  as in the image

        assert ready.main() == code


def findings() -> list[Finding]:
    long = "/a/folder/with/a/name/" + "that-goes-on/" * 20
    return [
        Finding(check="disk", ok=True, found=long),
        Finding(check="Python packages", ok=False, found=f"[red]odd[/] {long}", mend=f"free {long}"),
        Finding(check="proxies", ok=False, found="none trusted", mend="name it", required=False),
    ]


@pytest.mark.parametrize("width", [20, 80, 500])
@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_that_doctor_finds_is_cut_off(width: int, *, terminal: bool) -> None:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, color_system=None, highlight=False)
    print_findings(findings(), console, as_json=False)
    lines = out.getvalue().splitlines()

    for each in findings():
        (line,) = [line for line in lines if each.check in line]
        assert line.endswith(each.found)
        assert each.ok or f"mend: {each.mend}" in " ".join(lines)
    assert [line.split()[0] for line in lines] == ["ok", "problem", "mend:", "note", "mend:"]


def test_doctors_json_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    print_findings(findings(), Console(width=20), as_json=True)

    assert msgspec.json.decode(capsys.readouterr().out, type=list[Finding]) == findings()
