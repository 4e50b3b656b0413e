"""
Settings about evidence: its stores, its sizes, how long it is kept.
"""

from typing import Annotated

from kernel.settings.about import about
from kernel.settings.exams import Exams


class Evidence(Exams, frozen=True, kw_only=True):
    """Stores of evidence, its sizes, how long it is kept."""

    # -- evidence (spec.md V-1, V-2)
    evidence_store: Annotated[
        str, about("Where evidence is kept: a folder that all processes share, or s3://bucket/prefix.")
    ] = ".veritas/evidence"
    evidence_cold_store: Annotated[
        str, about("Where evidence of the cold tier is kept: a folder or an s3:// URL.")
    ] = ".veritas/evidence-cold"
    s3_endpoint: Annotated[
        str,
        about(
            "Address of the S3-compatible store, as clients reach it too; that of AWS when empty.",
            pattern=r"^(https?://[^/?#\s]+)?$(?!\n)",
        ),
    ] = ""
    s3_region: Annotated[str, about("Region of the object store.")] = "us-east-1"
    s3_access_key: Annotated[str, about("Access key of the object store.")] = ""
    s3_secret_key: Annotated[str, about("Secret key of the object store.")] = ""
    evidence_url_s: Annotated[
        int, about("Life of an address to upload or download evidence, seconds.", ge=30, le=86_400)
    ] = 1800
    evidence_video_bytes_max: Annotated[int, about("One video or screen recording, bytes.", ge=1024)] = (
        2 << 30
    )
    evidence_audio_bytes_max: Annotated[int, about("One audio recording, bytes.", ge=1024)] = 256 << 20
    evidence_image_bytes_max: Annotated[int, about("One photograph or screenshot, bytes.", ge=1024)] = (
        16 << 20
    )
    evidence_document_bytes_max: Annotated[int, about("One document, bytes.", ge=1024)] = 32 << 20
    evidence_chunk_bytes_max: Annotated[int, about("One chunk of a recording, bytes.", ge=1024)] = 16 << 20
    evidence_chunks_max: Annotated[int, about("Chunks of one recording.", ge=1, le=100_000)] = 10_000
    evidence_pieces_max: Annotated[
        int, about("Pieces of evidence of one proctor session, and of one observer at one exam.", ge=1)
    ] = 1000
    evidence_organisation_bytes_max: Annotated[
        int, about("Evidence of one organisation, bytes; more is refused.", ge=1024)
    ] = 1 << 40
    evidence_uploads_max: Annotated[
        int, about("Uploads that one core API process takes at a time; more are told to retry.", ge=1)
    ] = 512
    evidence_waiting_max: Annotated[
        int,
        about(
            "Requests about evidence that wait for the database in one core API process; "
            "more are told to retry.",
            ge=1,
        ),
    ] = 1024
    evidence_hot_days: Annotated[
        int, about("Days after which evidence that is closed moves to the cold store.", ge=0, le=36_500)
    ] = 365
    evidence_orphan_days: Annotated[
        int, about("Days after which a stored file that belongs to no evidence is deleted.", ge=1, le=36_500)
    ] = 7
    evidence_swept_max: Annotated[
        int, about("Stored files that one sweep over a store looks at.", ge=100, le=1_000_000)
    ] = 10_000
    evidence_sweep_s: Annotated[
        float, about("Seconds between sweeps that close, move and tidy up evidence.", gt=0, le=86_400)
    ] = 60.0
