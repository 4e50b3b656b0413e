"""What set-up says while a step is at work: lines in a log, one line on a terminal; and when it fails."""

import os
import pty
import re
import subprocess
from pathlib import Path

SAYING = Path(__file__).parents[3] / "deploy/setup/saying.sh"
# A step that goes on until it has been spoken of: its own log is the last of its script's descriptors.
SPOKEN_OF = (
    'echo "step one"; for _ in $(seq 600); do grep -q "step one" "$1" && exit 0; sleep 0.1; done; exit 9'
)


def script(step: str) -> list[str]:
    return ["bash", "-euo", "pipefail", "-c", f'. "{SAYING}"\n{step}\nsay ready']


def test_in_a_log_a_long_step_says_again_and_again_what_it_is_at(tmp_path: Path) -> None:
    said = tmp_path / "said"
    step = f"during 'building it' sh -c '{SPOKEN_OF}' sh {said}"
    with said.open("w") as out:
        done = subprocess.run(
            script(step), stdout=out, stderr=out, env=os.environ | {"BEAT_S": "0.1"}, timeout=90, check=False
        )
    lines = [line.split("  ", 1)[-1].split(" s  ")[-1] for line in said.read_text().splitlines()]

    assert done.returncode == 0, lines
    assert lines[0] == "building it"
    assert any(re.fullmatch(r" *still at it after \d+ s: step one", line) for line in lines[1:-1])
    assert lines[-1] == "ready"


def test_a_quick_step_is_one_line_and_a_failed_one_shows_what_it_wrote_and_stops() -> None:
    quick = subprocess.run(script("during 'a step' true"), capture_output=True, text=True, check=True)
    failed = subprocess.run(
        script("during 'a step' sh -c 'echo what is wrong; exit 7'"),
        capture_output=True,
        text=True,
        check=False,
    )

    assert [line.split("s  ")[-1] for line in quick.stdout.splitlines()] == ["a step", "ready"]
    assert (failed.returncode, failed.stderr) == (7, "what is wrong\n")
    assert "a step: failed with exit code 7" in failed.stdout
    assert "ready" not in failed.stdout


def test_on_a_terminal_it_is_one_line_that_is_gone_at_the_end(tmp_path: Path) -> None:
    said, ours, theirs = tmp_path / "said", *pty.openpty()
    step = f"during 'building it' sh -c '{SPOKEN_OF}' sh {said}"
    environment = os.environ | {"BEAT_S": "0.1", "TERM": "xterm"}
    with subprocess.Popen(script(step), stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while b"ready" not in shown and (part := read(ours)):
            shown += part
            said.write_bytes(shown)
        process.wait(90)
    os.close(ours)

    assert process.returncode == 0, shown
    assert re.search(rb"\r\x1b\[K {6}\d+ s  step one", shown)
    assert b"\r\x1b[Ksetup" in shown, "the line is cleared before the next one"
    assert b"still" not in shown


def read(terminal: int) -> bytes:
    """Return what a terminal shows next; nothing once whoever wrote to it is gone."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""
