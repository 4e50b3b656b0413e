"""
The naive design, as veritas-architecture.txt writes it: FastAPI, a SQLAlchemy session, one commit per event.

Its table `monitoring_events` has the columns, foreign keys and six indexes of that document; its pool is 10 +
20 with `pool_pre_ping`; its handler is the document's, line by line. `make bench` runs it under uvicorn with
two workers on the same PostgreSQL as the product and loads it over HTTP, one event a request. Nothing in it
is slowed down: access logs are off, and uvicorn takes uvloop. Source: "Monitoring Data Ingestion",
"monitoring_events", "Connection Pooling".
"""

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from pydantic import BaseModel
from sqlalchemy import Engine, Enum, ForeignKey, Index, QueuePool, create_engine
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from kernel.settings import load


class Base(DeclarativeBase):
    """The document's ORM layer."""


class User(Base):
    """What a foreign key points at."""

    __tablename__ = "users"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)


class ExamAttempt(Base):
    """What a foreign key points at."""

    __tablename__ = "exam_attempts"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    student_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))


class MonitoringEvent(Base):
    """The document's table, with its indexes."""

    __tablename__ = "monitoring_events"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    exam_attempt_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("exam_attempts.id"), index=True)
    student_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"), index=True)
    event_type: Mapped[str]
    severity: Mapped[str] = mapped_column(Enum("normal", "warning", "critical", name="severity"))
    data_payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    is_anomaly: Mapped[bool] = mapped_column(default=False, index=True)
    anomaly_score: Mapped[float | None]
    description: Mapped[str | None]
    analysis_notes: Mapped[str | None]
    client_timestamp: Mapped[datetime | None] = mapped_column(TIMESTAMP(timezone=True))
    server_timestamp: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True), index=True)

    __table_args__ = (
        Index("idx_event_type_severity", "event_type", "severity"),
        Index("idx_event_payload", "data_payload", postgresql_using="gin"),
    )


class MonitoringEventRequest(BaseModel):
    """The body that the document's monitoring module posts."""

    attempt_id: uuid.UUID
    event_type: str
    severity: str
    data: dict[str, Any]


def open_engine(database_url: str) -> Engine:
    """Return the document's engine for a libpq URL."""
    return create_engine(
        database_url.replace("postgresql://", "postgresql+psycopg://", 1),
        poolclass=QueuePool,
        pool_size=10,
        max_overflow=20,
        pool_pre_ping=True,
    )


def create_schema(database_url: str, attempts: int) -> list[str]:
    """Create the tables and so many attempts, each of its own student; return the attempts' ids."""
    engine = open_engine(database_url)
    Base.metadata.create_all(engine)
    with Session(engine) as db:
        ids = _add_attempts(db, attempts)
        db.commit()
    engine.dispose()
    return [str(attempt_id) for attempt_id in ids]


def _add_attempts(db: Session, attempts: int) -> Sequence[uuid.UUID]:
    students = [User(id=uuid.uuid4()) for _ in range(attempts)]
    db.add_all(students)
    db.flush()
    rows = [ExamAttempt(id=uuid.uuid4(), student_id=student.id) for student in students]
    db.add_all(rows)
    db.flush()
    return [row.id for row in rows]


def create_app() -> FastAPI:
    """Return the application; uvicorn calls this in each worker (`--factory`)."""
    session_local = sessionmaker(bind=open_engine(load().database_url))
    app = FastAPI()

    def get_db() -> Iterator[Session]:
        db = session_local()
        try:
            yield db
        finally:
            db.close()

    @app.post("/monitor/events")
    async def record_event(
        request: MonitoringEventRequest, db: Annotated[Session, Depends(get_db)]
    ) -> dict[str, str]:
        event = MonitoringEvent(
            exam_attempt_id=request.attempt_id,
            event_type=request.event_type,
            severity=request.severity,
            data_payload=request.data,
            server_timestamp=datetime.now(UTC),
        )
        db.add(event)
        db.commit()
        return {"id": str(event.id), "status": "recorded"}

    return app
