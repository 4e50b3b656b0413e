"""
Which files are taken as which evidence, told by what is in them and not by what they are called. Pure.

A file begins with what its format begins with; only the formats below are taken, and nothing else that a
browser might show or run.
"""

from collections.abc import Mapping
from typing import Final

from kernel.events import EvidenceType
from kernel.settings import Settings

HEAD_BYTES: Final = 16  # of a file, from which its format is told

# The formats that a content type may be of.
FORMATS: Final[Mapping[str, str]] = {
    "video/webm": "webm",
    "video/mp4": "mp4",
    "video/ogg": "ogg",
    "audio/webm": "webm",
    "audio/mp4": "mp4",
    "audio/ogg": "ogg",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/mpeg": "mp3",
    "image/jpeg": "jpeg",
    "image/png": "png",
    "image/webp": "webp",
    "application/pdf": "pdf",
}
_OF_TYPE: Final[Mapping[EvidenceType, tuple[str, ...]]] = {
    EvidenceType.Video: ("video/",),
    EvidenceType.Audio: ("audio/",),
    EvidenceType.Image: ("image/",),
    EvidenceType.ScreenCapture: ("image/",),
    EvidenceType.ScreenRecording: ("video/",),
    EvidenceType.Document: ("application/pdf", "image/"),
}
RECORDINGS: Final = frozenset({EvidenceType.Video, EvidenceType.Audio, EvidenceType.ScreenRecording})


def essence(content_type: str) -> str:
    """Return a content type without its parameters: `video/webm` of `video/webm;codecs="vp8"`."""
    return content_type.partition(";")[0].strip().lower()


def allowed(evidence_type: EvidenceType) -> list[str]:
    """Return the content types that evidence of a type may have."""
    return [each for each in FORMATS if each.startswith(_OF_TYPE[evidence_type])]


# What files begin with: bytes, and where they stand.
_BEGINNINGS: Final[tuple[tuple[str, tuple[tuple[int, bytes], ...]], ...]] = (
    ("webm", ((0, b"\x1aE\xdf\xa3"),)),
    ("mp4", ((4, b"ftyp"),)),
    ("ogg", ((0, b"OggS"),)),
    ("wav", ((0, b"RIFF"), (8, b"WAVE"))),
    ("webp", ((0, b"RIFF"), (8, b"WEBP"))),
    ("mp3", ((0, b"ID3"),)),
    ("jpeg", ((0, b"\xff\xd8\xff"),)),
    ("png", ((0, b"\x89PNG\r\n\x1a\n"),)),
    ("pdf", ((0, b"%PDF-"),)),
)


def format_of(head: bytes) -> str | None:
    """Return the format that a file's first HEAD_BYTES bytes are of; None for one that is not taken."""
    for name, parts in _BEGINNINGS:
        if all(head[at : at + len(some)] == some for at, some in parts):
            return name
    return "mp3" if _is_mpeg_audio(head) else None


def _is_mpeg_audio(head: bytes) -> bool:
    """Tell whether a frame of MPEG audio, layer III, begins here."""
    return len(head) > 2 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[2] & 0xF0 != 0xF0


def fits(content_type: str, head: bytes) -> bool:
    """Tell whether a file begins as one of its content type does."""
    return format_of(head) == FORMATS.get(essence(content_type))


def bytes_max(evidence_type: EvidenceType, settings: Settings) -> int:
    """Return how large a piece of evidence of a type may be."""
    match evidence_type:
        case EvidenceType.Video | EvidenceType.ScreenRecording:
            return settings.evidence_video_bytes_max
        case EvidenceType.Audio:
            return settings.evidence_audio_bytes_max
        case EvidenceType.Document:
            return settings.evidence_document_bytes_max
        case _:
            return settings.evidence_image_bytes_max
