"""What the benchmarks compute from what they measure, and the requests that they encode beforehand."""

from datetime import UTC, datetime

import msgspec
import orjson
import pytest

from kernel.events import SEVERITY_BY_NAME
from loadtests.bench.ingest import medians
from loadtests.bench.live import report_of
from loadtests.bench.live_clients import ClientFigures
from loadtests.bench.live_rounds import Round
from loadtests.bench.measuring.report import Report
from loadtests.bench.measuring.stack import BenchError
from loadtests.bench.school import SchoolFigures, hold
from loadtests.bench.sending.loads import percentiles
from loadtests.bench.sending.sockets import frame
from loadtests.bench.sending.wire import NUMBER_WIDTH, Shape, Target, starts, tails
from loadtests.bench.soak import Sample, numbered, slope, summarise
from loadtests.sample import BULK, client_times, sample_bulk, wire_events

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 21, 23, 59, 59, 999_999, tzinfo=UTC)


def body_of(shape: Shape, number: int, at: datetime) -> dict[str, object]:
    """Put a request together as the loader does; return its decoded body."""
    endings = tails(shape, at)
    [start] = starts(shape, [Target("7", "token")], instance="bench", tail_bytes=len(endings[0]))
    request = start + str(number).ljust(NUMBER_WIDTH).encode() + endings[number % len(endings)]
    head, _, body = request.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head.split(b"\r\n")
    decoded: dict[str, object] = orjson.loads(body)
    return decoded


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentiles([float(n) for n in range(1, 101)]) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}
    assert percentiles([3.0, 1.0], (50, 99)) == {"p50": 1.0, "p99": 3.0}
    assert percentiles([]) == {}


def test_a_figure_of_the_report_is_the_median_of_its_rounds() -> None:
    rounds = [{"p50": 4.0, "p99": 90.0}, {"p50": 3.0, "p99": 15.0}, {"p50": 9.0, "p99": 16.0}]

    assert medians(rounds) == {"p50": 4.0, "p99": 16.0}


def test_a_bulk_request_has_the_shape_of_the_bulk_route() -> None:
    body = body_of(Shape.bulk, 51, NOON)

    assert body | {"events": None} == {
        "proctorSessionId": 7,
        "clientInstance": "bench",
        "clientSequence": 51,
        "events": None,
    }
    assert body["events"] == wire_events(NOON)


@pytest.mark.parametrize("number", [1, 50, 4_194_303])
def test_a_single_request_carries_one_of_the_same_events(number: int) -> None:
    body = body_of(Shape.single, number, NOON)

    assert body == wire_events(NOON)[number % BULK] | {
        "proctorSessionId": 7,
        "clientInstance": "bench",
        "clientSequence": number,
    }


def test_a_heartbeat_says_whose_it_is_and_when() -> None:
    body = body_of(Shape.heartbeat, 3, NOON)

    assert body == {
        "proctorSessionId": 7,
        "clientInstance": "bench",
        "clientSequence": 3,
        "clientTimestamp": "2026-01-01T12:00:00.000000Z",
    }


def test_the_naive_design_gets_the_same_payloads_in_its_own_shape() -> None:
    body = body_of(Shape.seed, 3, NOON)

    assert set(body) == {"attempt_id", "event_type", "severity", "data"}
    assert body["severity"] in SEVERITY_BY_NAME
    assert body["data"] == {"n": 3} | orjson.loads(sample_bulk()[3].metadata)


@pytest.mark.parametrize("shape", list(Shape))
def test_the_length_of_a_request_does_not_depend_on_the_clock(shape: Shape) -> None:
    assert {len(tail) for tail in tails(shape, NOON)} == {len(tail) for tail in tails(shape, LATER)}


def test_a_sampled_event_is_about_200_bytes_on_the_wire() -> None:
    assert len(sample_bulk()) == BULK
    assert 180 <= len(orjson.dumps(wire_events(NOON))) / BULK <= 220


def test_client_times_end_at_the_moment_of_sending() -> None:
    times = client_times(NOON)

    assert times[-1] == NOON
    assert times == sorted(times)


def test_the_report_has_exactly_the_published_keys() -> None:
    assert set(Report.__struct_fields__) == {
        "copy_rows_per_s",
        "durable_events_per_s",
        "ratio_to_copy",
        "seed_design_events_per_s",
        "ratio_to_seed_design",
        "simple_durable_events_per_s",
        "ratio_to_simple_durable",
        "single_events_per_s",
        "ratio_single_to_seed_design",
        "ack_ms",
        "accept_to_queryable_ms",
        "cpu_us_per_event",
        "fdatasync_ms",
        "machine",
    }


def test_processes_of_one_kind_are_told_apart() -> None:
    assert numbered({30: "ingest", 10: "redis", 20: "ingest"}) == {
        20: "ingest_1",
        30: "ingest_2",
        10: "redis",
    }


def test_a_slope_is_growth_per_step() -> None:
    assert slope([(0.0, 5.0), (1.0, 7.0), (2.0, 9.0)]) == pytest.approx(2.0)
    assert slope([(1.0, 5.0)]) == 0.0


def test_the_memory_slope_leaves_out_the_first_fifth() -> None:
    mib = 1 << 20
    filling = [Sample(0.0, 1 * mib, 1 * mib), Sample(10.0, 90 * mib, 50 * mib)]
    flat = [Sample(60.0 * minute, 100 * mib, 60 * mib) for minute in range(1, 6)]

    memory = summarise(filling + flat)

    assert msgspec.structs.astuple(memory) == (1.0, 100.0, 0.0, 1.0, 60.0, 0.0)


def test_a_school_that_takes_more_than_a_minute_fails_its_benchmark() -> None:
    figures = SchoolFigures(
        people_s={"command": 50.0, "http": 40.0},
        exams_s={"command": 10.0, "http": 20.0},
        same_again_s={"command": 100.0, "http": 100.0},
        begun_s={"command": 100.0, "http": 100.0},
        size={},
        fdatasync_ms=1.0,
    )
    hold(figures)

    with pytest.raises(BenchError, match=r"took 60\.5 s by http, of 60 s"):
        hold(msgspec.structs.replace(figures, exams_s={"command": 10.0, "http": 20.5}))


def live_round(events_per_s: float, p99_ms: float) -> Round:
    took = {"p50": 90.0, "p99": p99_ms}
    return Round(
        events_per_s=events_per_s,
        ack_ms=took,
        accept_to_score_ms=took,
        accept_to_watcher_ms=took,
        messages_per_s=800.0,
        cut_off=0,
        cpu_us_per_event={"ingest": 5.0},
        cpu_us_per_scored_event=60.0,
        busy_share=0.9,
        generator_cpu_share=0.1,
    )


def test_the_live_figures_are_medians_and_each_says_whether_it_passes() -> None:
    rounds = [live_round(21_000.0, 1_500.0), live_round(20_000.0, 900.0), live_round(19_000.0, 1_001.0)]
    clients = ClientFigures(
        heartbeats_cpu_share=0.3,
        heartbeats_by_process={},
        sockets=10,
        socket_kib=20.0,
        opened_per_s=100.0,
        sockets_cpu_share=0.01,
    )
    report = report_of(rounds, clients, ratio=1.5, tried_per_s=9_000.0)

    assert (report.events_per_s, report.accept_to_score_ms["p99"]) == (20_000.0, 1_001.0)
    assert set(report.bars) == set(report.passes)
    assert [name for name, passes in report.passes.items() if not passes] == ["accept_to_watcher_ms.p99"]


def test_frames_of_a_socket_are_known_when_they_are_whole() -> None:
    short, long = bytes([0x81, 3]) + b"abc", bytes([0x81, 126, 1, 0]) + b"x" * 256

    assert [frame(short[:length]) for length in range(6)] == [None] * 5 + [(0x81, 5)]
    assert [frame(long[:length]) for length in (3, 259, 260)] == [None, None, (0x81, 260)]
    assert frame(b"\x89\0" + short) == (0x89, 2)
