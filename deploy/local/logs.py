"""The local stack's log files: bounded, for their owner and group alone, and never a reason to stop."""

import io
import os
from logging import LogRecord, makeLogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

LOG_MODE: Final = 0o640
LOG_BYTES_MAX: Final = 10 << 20  # of one file; one older file is kept
AS_IT_IS: Final = "latin-1"  # bytes, cut anywhere, go through the handler as a character each


class Log(RotatingFileHandler):
    """
    A log file with one older file beside it. What cannot be written (a full disk) is left out and counted:
    whoever logs goes on, and what it reads from does not fill up.
    """

    terminator = ""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lost_bytes = 0
        super().__init__(path, maxBytes=LOG_BYTES_MAX, backupCount=1)

    def write(self, chunk: bytes) -> None:
        """Append; a full file becomes the older one first, also where there is nothing to append."""
        lost, self._lost_bytes = self._lost_bytes, 0
        note = b"%d bytes of this log could not be written\n" % lost if lost else b""
        self.emit(makeLogRecord({"msg": (note + chunk).decode(AS_IT_IS), "unwritten": lost + len(chunk)}))

    def handleError(self, record: LogRecord) -> None:  # noqa: N802  the handler's name
        """Count what was not written, for the next that is."""
        self._lost_bytes = vars(record)["unwritten"]

    def _open(self) -> io.TextIOWrapper:
        """Open the file, also one that an older release left open to all; nothing waits in a buffer."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, LOG_MODE)
        os.fchmod(descriptor, LOG_MODE)
        return io.TextIOWrapper(io.FileIO(descriptor, "ab"), encoding=AS_IT_IS, write_through=True)


def tail(path: Path, lines: int = 15) -> str:
    """Return a file's last lines."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
