"""
The process that opens pictures (`eyes.py`), as long as somebody looks: started when it is first asked, killed
when it does not answer in time, and started again for the next one.
"""

import os
import selectors
import subprocess
import sys
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Final, Self

import msgspec

from kernel.settings import Settings
from pipeline.detector.frames import Asked, Bounds, Seen

READY_S: Final = 20.0  # that the process may take to start, beside the time of a piece
LINE_BYTES_MAX: Final = 1 << 20  # of an answer
CONTAINERS: Final = "matroska,webm,mov,mp4,ogg"  # those of videos that are taken as evidence
NOT_STARTED: Final = (
    "the face detector does not start: see what `python -m pipeline.detector.eyes </dev/null` says"
)


class DetectorError(Exception):
    """The detector cannot work, whatever it is to look at."""


class Looker:
    """Looks at files, one at a time."""

    def __init__(self, settings: Settings) -> None:
        """Remember the bounds; nothing is started yet."""
        self._process: subprocess.Popen[bytes] | None = None
        self._bounds = Bounds(
            pixels_max=settings.detector_pixels_max,
            frames_max=settings.detector_frames_max,
            every_s=settings.detector_frame_every_s,
            seconds_max=settings.detector_piece_s,
            memory_bytes_max=settings.detector_memory_bytes_max,
        )

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the process end."""
        self._end()

    def look(self, asked: Asked) -> Seen | None:
        """
        Return what is seen of a file; None where it broke the process, or took too long.

        Raises:
            DetectorError: no process starts at all.
        """
        process = self._started()
        try:
            assert process.stdin is not None, "it is a pipe"
            process.stdin.write(msgspec.json.encode(asked) + b"\n")
            process.stdin.flush()
            return msgspec.json.decode(self._line(process), type=Seen)
        except (OSError, EOFError, TimeoutError, msgspec.DecodeError):
            self._end()
            return None

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.detector.eyes"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # what libraries say quotes what was sent
                env=self._environment(),
            )
            assert self._process.stdin is not None, "it is a pipe"
            try:
                self._process.stdin.write(msgspec.json.encode(self._bounds) + b"\n")
                self._process.stdin.flush()
                self._line(self._process)
            except (OSError, EOFError, TimeoutError) as error:
                self._end()
                raise DetectorError(NOT_STARTED) from error
        return self._process

    def _environment(self) -> dict[str, str]:
        """Return what the process is told: no address and no password of ours."""
        return {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OPENCV_IO_MAX_IMAGE_PIXELS": str(self._bounds.pixels_max),
            "OPENCV_FFMPEG_CAPTURE_OPTIONS": f"protocol_whitelist;file|format_whitelist;{CONTAINERS}",
            "OPENCV_FFMPEG_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }

    def _line(self, process: "subprocess.Popen[bytes]") -> bytes:
        """Return the answer; raises TimeoutError, or EOFError where the process is gone."""
        assert process.stdout is not None, "it is a pipe"
        until, line = monotonic() + self._bounds.seconds_max + READY_S, b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, until - monotonic())):
                    raise TimeoutError
                some = os.read(process.stdout.fileno(), 1 << 16)
                if not some or len(line) > LINE_BYTES_MAX:
                    raise EOFError
                line += some
        return line

    def _end(self) -> None:
        """Kill the process: it keeps nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        with suppress(OSError), process:  # what is left in a pipe goes nowhere
            process.wait()
