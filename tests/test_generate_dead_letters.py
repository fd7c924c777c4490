"""Generated dead letters, read by plain readers of each format and compared with what the truth tells."""

from __future__ import annotations

import datetime as dt
import json
import struct
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from workbench import samples
from workbench.samples import write
from workbench.samples.dead_causes import BLOCKED, CAUSES, SERVICES
from workbench.samples.dead_formats import MALFORMED

Row = dict[str, Any]
UTC = dt.UTC


@dataclass
class Made:
    events: dict[int, Row]
    records: list[Row]
    axon: list[Row]
    wolverine: list[Row]
    told: dict[str, Row]
    about: dict[str, Any]
    counts: Any

    def of(self, format: str) -> list[tuple[Row, Row]]:
        """Records of a format and what is told of each."""
        return [
            (record, told)
            for record in self.records
            if (told := self.told[place(record)])["written_as"] == format
        ]

    def sound(self, format: str) -> list[tuple[Row, Row]]:
        """Those whose record and event can be read."""
        return [
            (record, told)
            for record, told in self.of(format)
            if told["malformed"] is None and told["cause"] != "truncated_payload"
        ]


def place(record: Row) -> str:
    return f"{record['topic']}/{record['partition']}/{record['offset']}"


def make(folder: Path, **arguments: Any) -> Made:
    made = samples.generate("checkout", folder, **arguments)
    events = [event for file in made.files for event in pq.read_table(file).to_pylist()]
    rows = pq.read_table(folder / "dead_letters_truth.parquet").to_pylist()
    told = {row["source_position"]: row for row in rows}
    assert len(told) == len(rows)
    return Made(
        {event["position"]: event for event in events},
        pq.read_table(folder / "dead_letters.parquet").to_pylist(),
        pq.read_table(folder / "dead_letters_axon.parquet").to_pylist(),
        pq.read_table(folder / "dead_letters_wolverine.parquet").to_pylist(),
        told,
        json.loads((folder / "dead_letters_truth.json").read_text()),
        made.counts,
    )


@pytest.fixture(scope="module", params=[4, 2026])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("letters"), events=20_000, seed=request.param)


def headers(record: Row) -> dict[str, bytes]:
    """Header -> its first value."""
    found: dict[str, bytes] = {}
    for header in record["headers"]:
        found.setdefault(header["name"], header["value"])
    return found


def texts(record: Row, prefix: str) -> dict[str, str]:
    return {
        name.removeprefix(prefix): value.decode()
        for name, value in headers(record).items()
        if name.startswith(prefix)
    }


def milliseconds(value: bytes) -> dt.datetime:
    """A time from the bytes of a positive big-endian integer."""
    return moment(int.from_bytes(value, "big", signed=True))


def moment(ms: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=UTC) + dt.timedelta(milliseconds=ms)


def assert_event(given: Row, told: Row, event: Row) -> None:
    """An envelope is the event that was given up."""
    assert given["eventId"] == told["event_id"] == event["event_id"]
    assert given["eventType"] == told["event_type"] == event["event_type"]
    assert given["aggregateId"] == told["stream_id"] == event["stream_id"]
    assert given["version"] == told["version"] == event["version"]
    assert given["data"] == json.loads(event["data"])
    assert given["metadata"]["correlationId"] == told["correlation_id"] == event["correlation_id"]
    assert given["metadata"].get("causationId") == told["causation_id"] == event["causation_id"]


# The formats


def test_reference_letters_are_their_fields(made: Made) -> None:
    strings = objects = 0
    for record, told in made.sound("reference"):
        letter = json.loads(record["value"])
        assert list(letter) == ["originalEvent", "error", "attempts", "timestamp"]
        assert_event(letter["originalEvent"], told, made.events[told["position"]])
        assert letter["attempts"] == told["attempts"]
        assert dt.datetime.fromisoformat(letter["timestamp"]) == told["dead_lettered_at"]
        assert record["timestamp"] == told["dead_lettered_at"]
        if isinstance(letter["error"], str):
            strings += 1
            assert (letter["error"], None) == (told["error_message"], told["error_class"])
        else:
            objects += 1
            assert letter["error"]["message"] == told["error_message"]
            assert letter["error"]["name"] == told["error_class"]
            assert letter["error"]["stack"].startswith(f"{told['error_class']}: ")
        assert record["topic"] == "events.dead-letter"
        assert told["consumer"] is told["origin_topic"] is told["origin_offset"] is None
    assert min(strings, objects) > 0


def test_connect_headers_are_text_and_the_time_is_the_source_s(made: Made) -> None:
    for record, told in made.sound("connect"):
        found = texts(record, "__connect.errors.")
        event = made.events[told["position"]]
        assert found["topic"] == told["origin_topic"]
        assert int(found["partition"]) == told["origin_partition"]
        assert int(found["offset"]) == told["origin_offset"]
        assert found["connector.name"] == told["consumer"] == "orders-lake-sink"
        assert found["exception.class.name"] == told["error_class"]
        assert found["exception.message"] == told["error_message"]
        assert found["stage"] == "TASK_PUT"
        assert found["exception.stacktrace"].startswith(f"{told['error_class']}: ")
        assert told["dead_lettered_at"] is None
        assert record["timestamp"] == told["origin_at"] == truncated(event["recorded_at"])
        assert_event(json.loads(record["value"]), told, event)


def test_streams_tell_class_and_message_in_one(made: Made) -> None:
    for record, told in made.sound("streams"):
        found = texts(record, "__streams.errors.")
        event = made.events[told["position"]]
        assert found["exception"] == f"{told['error_class']}: {told['error_message']}"
        assert found["message"] == told["error_message"]
        assert (found["topic"], int(found["partition"]), int(found["offset"])) == origin(told)
        assert told["consumer"] is told["dead_lettered_at"] is None
        assert record["timestamp"] == told["origin_at"] == truncated(event["recorded_at"])
        assert_event(json.loads(record["value"]), told, event)


def truncated(time: dt.datetime) -> dt.datetime:
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def origin(told: Row) -> tuple[str, int, int]:
    return told["origin_topic"], told["origin_partition"], told["origin_offset"]


@pytest.mark.parametrize(
    ("format", "prefix"), [("spring", "kafka_dlt-"), ("spring_retry", "kafka_")]
)
def test_spring_headers_are_binary(made: Made, format: str, prefix: str) -> None:
    for record, told in made.sound(format):
        found = headers(record)
        assert found[f"{prefix}original-topic"].decode() == told["origin_topic"]
        (partition,) = struct.unpack(">i", found[f"{prefix}original-partition"])
        (offset,) = struct.unpack(">q", found[f"{prefix}original-offset"])
        (at,) = struct.unpack(">q", found[f"{prefix}original-timestamp"])
        assert (partition, offset) == (told["origin_partition"], told["origin_offset"])
        assert moment(at) == told["origin_at"]
        assert found["kafka_dlt-original-consumer-group"].decode() == told["consumer"]
        assert found[f"{prefix}exception-cause-fqcn"].decode() == told["error_class"]
        assert found[f"{prefix}exception-message"].decode() == told["error_message"]
        assert found[f"{prefix}exception-stacktrace"].decode().count(told["error_class"]) == 1
        assert record["topic"] == f"{told['origin_topic']}-dlt"
        assert record["partition"] == told["origin_partition"]
        assert record["timestamp"] == told["dead_lettered_at"] > told["origin_at"]
        assert_event(json.loads(record["value"]), told, made.events[told["position"]])


def test_retry_topics_number_the_next_attempt(made: Made) -> None:
    tried = set()
    for record, told in made.sound("spring_retry"):
        found = headers(record)
        (following,) = struct.unpack(">i", found["retry_topic-attempts"])
        assert following - 1 == told["attempts"]
        assert milliseconds(found["retry_topic-original-timestamp"]) == told["origin_at"]
        assert len(found["retry_topic-original-timestamp"]) == 6
        tried.add(told["attempts"])
    assert tried == {4}


def test_some_letters_went_through_a_dead_letter_topic_twice(made: Made) -> None:
    twice = 0
    for record, told in made.sound("spring"):
        offsets = [
            struct.unpack(">q", header["value"])[0]
            for header in record["headers"]
            if header["name"] == "kafka_dlt-original-offset"
        ]
        twice += len(offsets) == 2
        assert offsets[0] == told["origin_offset"] == min(offsets)
    assert 0 < twice < len(made.sound("spring")) / 2


def test_smallrye_names_the_origin_in_text(made: Made) -> None:
    for record, told in made.sound("smallrye"):
        found = texts(record, "dead-letter-")
        assert found["exception-class-name"] == told["error_class"]
        assert found["reason"] == told["error_message"]
        assert (found["topic"], int(found["partition"]), int(found["offset"])) == origin(told)
        assert record["timestamp"] == told["dead_lettered_at"]
        assert_event(json.loads(record["value"]), told, made.events[told["position"]])


def test_nservicebus_headers(made: Made) -> None:
    for record, told in made.sound("nservicebus"):
        found = texts(record, "NServiceBus.")
        event = made.events[told["position"]]
        assert found["MessageId"] == told["event_id"] == event["event_id"]
        assert found["ConversationId"] == told["correlation_id"] == event["correlation_id"]
        assert found.get("RelatedTo") == told["causation_id"] == event["causation_id"]
        assert found["EnclosedMessageTypes"] == f"{told['event_type']}, Checkout"
        assert found["ProcessingEndpoint"] == found["FailedQ"] == told["consumer"] == "crm"
        failed = dt.datetime.strptime(
            found["TimeOfFailure"][:-1] + "+0000", "%Y-%m-%d %H:%M:%S:%f %z"
        )
        assert failed == told["dead_lettered_at"] == told["given_up_at"]
        assert int(found["FLRetries"]) + 1 == told["attempts"]
        assert found["ExceptionInfo.ExceptionType"] == told["error_class"]
        assert found["ExceptionInfo.Message"] == told["error_message"]
        assert json.loads(record["value"]) == json.loads(event["data"])
        assert record["key"] is None


def test_masstransit_headers_and_envelope(made: Made) -> None:
    for record, told in made.sound("masstransit"):
        found = texts(record, "MT-")
        event, letter = made.events[told["position"]], json.loads(record["value"])
        assert found["Reason"] == "fault"
        assert found["Fault-ExceptionType"] == told["error_class"]
        assert found["Fault-Message"] == told["error_message"]
        assert found["Fault-ConsumerType"] == told["consumer"]
        assert found["Fault-InputAddress"] == told["origin_topic"]
        assert dt.datetime.fromisoformat(found["Fault-Timestamp"]) == told["dead_lettered_at"]
        assert int(found["Fault-RetryCount"]) + 1 == told["attempts"]
        assert letter["messageId"] == told["event_id"]
        assert letter["messageType"] == [f"urn:message:{told['event_type']}"]
        assert letter["conversationId"] == told["correlation_id"]
        assert letter["message"] == json.loads(event["data"])


def test_axon_parks_whole_sequences(made: Made) -> None:
    sequences: dict[str, list[Row]] = defaultdict(list)
    for row in made.axon:
        told = made.told[f"dead_letter_entry/{row['deadLetterIdentifier']}"]
        event = made.events[told["position"]]
        assert row["eventIdentifier"] == told["event_id"] == event["event_id"]
        assert row["payloadType"] == told["event_type"] == event["event_type"]
        assert row["aggregateIdentifier"] == told["stream_id"] == event["stream_id"]
        assert row["sequenceNumber"] == told["version"] == event["version"]
        assert (row["causeType"], row["causeMessage"]) == (
            told["error_class"],
            told["error_message"],
        )
        assert row["sequenceIdentifier"] == told["sequence_id"]
        assert row["sequenceIndex"] == told["sequence_index"]
        assert dt.datetime.fromisoformat(row["enqueuedAt"]) == told["dead_lettered_at"]
        metadata = json.loads(row["metaData"])
        assert metadata["traceId"] == event["correlation_id"]
        assert metadata.get("correlationId") == event["causation_id"]
        if told["malformed"] is None:
            assert json.loads(row["payload"]) == json.loads(event["data"])
        sequences[row["sequenceIdentifier"]].append(row)
    assert any(len(rows) > 1 for rows in sequences.values())
    for rows in sequences.values():
        assert sorted(row["sequenceIndex"] for row in rows) == list(range(len(rows)))
        for row in rows:
            assert (row["causeType"] is None) == (row["sequenceIndex"] > 0)


def test_all_that_follows_a_parked_order_is_parked(made: Made) -> None:
    invoicing = next(service for service in SERVICES if service.name == "invoicing")
    parked = {
        row["sequence_id"]: row["position"]
        for row in made.told.values()
        if row["sequence_index"] == 0
    }
    expected = {
        event["position"]
        for event in made.events.values()
        if event["event_type"] in invoicing.types
        and event["position"] > parked.get(json.loads(event["data"])["orderId"], 10**9)
    }
    blocked = [row for row in made.told.values() if row["role"] == "blocked"]
    assert {row["position"] for row in blocked} == expected != set()
    assert {row["cause"] for row in blocked} == {BLOCKED}
    assert {row["fingerprint"] for row in blocked} == {None}


def test_wolverine_bodies_are_envelopes(made: Made) -> None:
    for row in made.wolverine:
        told = made.told[f"wolverine_dead_letters/{row['id']}/{row['received_at']}"]
        event = made.events[told["position"]]
        assert str(row["id"]) == told["event_id"] == event["event_id"]
        assert row["message_type"] == told["event_type"] == event["event_type"]
        assert row["exception_type"] == told["error_class"]
        assert row["exception_message"] == told["error_message"]
        if told["malformed"] != "sent_in_year_one":
            assert row["sent_at"] == told["origin_at"] == event["recorded_at"]
        assert told["dead_lettered_at"] is told["consumer"] is told["stream_id"] is None
        if told["malformed"] == "body_cut_off":
            assert len(row["body"]) == 60
            continue
        ticks, found, data = read_envelope(row["body"])
        sent = dt.datetime(1, 1, 1, tzinfo=UTC) + dt.timedelta(microseconds=ticks // 10)
        assert sent == event["recorded_at"]
        assert json.loads(data) == json.loads(event["data"])
        assert int(found["attempts"]) == told["attempts"]
        assert found["correlation-id"] == told["correlation_id"] == event["correlation_id"]


def read_envelope(body: bytes) -> tuple[int, dict[str, str], bytes]:
    binary, count = struct.unpack_from("<qi", body)
    at, found = 12, {}
    for _ in range(count):
        pair = []
        for _ in range(2):
            length = body[at]
            assert length < 128
            pair.append(body[at + 1 : at + 1 + length].decode())
            at += 1 + length
        found[pair[0]] = pair[1]
    (length,) = struct.unpack_from("<i", body, at)
    assert len(body) == at + 4 + length
    assert binary >> 62 == 1  # .NET's mark of a time in UTC
    return binary & ((1 << 62) - 1), found, body[at + 4 :]


# Who gave up what


def test_every_service_gives_up_only_what_it_reads(made: Made) -> None:
    reads = {service.name: service for service in SERVICES}
    seen = Counter((row["service"], row["position"]) for row in made.told.values())
    assert max(seen.values()) == 1
    for row in made.told.values():
        event = made.events[row["position"]]
        assert event["event_type"] in reads[row["service"]].types
        assert row["written_as"] == reads[row["service"]].format
        assert row["format"] in (row["written_as"], None)
        assert row["given_up_at"] > event["recorded_at"]


def test_offsets_are_dense_in_the_topics_of_the_events(made: Made) -> None:
    places: dict[tuple[str, int], int] = defaultdict(int)
    expected = {}
    for position, event in sorted(made.events.items()):
        number = int(json.loads(event["data"])["orderId"].removeprefix("order-"))
        partition = (f"checkout.{event['stream_type']}", number % 3)
        expected[position] = (*partition, places[partition])
        places[partition] += 1
    compared = 0
    for row in made.told.values():
        if (
            row["format"] in ("connect", "spring", "spring_retry", "smallrye")
            and not row["malformed"]
        ):
            compared += 1
            assert origin(row) == expected[row["position"]]
    assert compared > 50


def test_records_are_dense_and_in_the_order_of_giving_up(made: Made) -> None:
    topics: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for record in made.records:
        topics[record["topic"], record["partition"]].append(record)
    for records in topics.values():
        assert [record["offset"] for record in records] == list(range(len(records)))
        given_up = [made.told[place(record)]["given_up_at"] for record in records]
        assert given_up == sorted(given_up)
    assert len(made.records) + len(made.axon) + len(made.wolverine) == len(made.told)


def test_a_new_fingerprint_begins_with_its_deployment(made: Made) -> None:
    first_day = dt.datetime(2026, 4, 1, tzinfo=UTC)
    causes = {cause.name: cause for cause in CAUSES}
    seen = {row["cause"] for row in made.told.values()}
    assert seen == {*causes, BLOCKED}
    for row in made.told.values():
        if row["cause"] != BLOCKED:
            cause = causes[row["cause"]]
            day = (made.events[row["position"]]["recorded_at"] - first_day) / dt.timedelta(days=1)
            assert cause.since <= day < cause.until


def test_a_burst_of_cut_off_payloads_has_no_event(made: Made) -> None:
    burst = [
        (record, told)
        for record, told in made.of("spring_retry")
        if told["cause"] == "truncated_payload"
    ]
    assert len(burst) >= 8
    for record, told in burst:
        with pytest.raises(json.JSONDecodeError):
            json.loads(record["value"])
        assert told["event_id"] is told["event_type"] is told["correlation_id"] is None
        assert told["stream_id"] == record["key"].decode()
        assert told["attempts"] == 1
        assert origin(told)[0] == "checkout.payment"
    times = [told["given_up_at"] for _, told in burst]
    assert max(times) - min(times) < dt.timedelta(hours=32)


def test_a_cause_can_be_told_by_class_or_message(made: Made) -> None:
    by_class = Counter(cause.error or cause.message for cause in CAUSES)
    assert max(by_class.values()) == 1
    for row in made.told.values():
        if row["fingerprint"] is not None:
            assert row["fingerprint"] == row["cause"]
            assert row["error_class"] or row["error_message"]


# Malformed records


def test_each_way_of_being_malformed_occurs_and_is_listed(made: Made) -> None:
    found = [row for row in made.told.values() if row["malformed"] is not None]
    assert {row["malformed"] for row in found} == set(MALFORMED)
    assert {(row["malformed"], row["source_position"]) for row in found} == {
        (one["kind"], one["source_position"]) for one in made.about["malformed"]
    }
    for row in found:
        assert MALFORMED[row["malformed"]] == row["written_as"]
        assert (row["format"] is None) == (row["malformed"] in ("cut_off_record", "not_text"))


def test_malformed_records_are_as_they_are_called(made: Made) -> None:
    bad = {told["malformed"]: record for format in set(MALFORMED.values()) - {"axon", "wolverine"}
           for record, told in made.of(format) if told["malformed"]}  # fmt: skip
    with pytest.raises(UnicodeDecodeError):
        bad["not_text"]["value"].decode()
    with pytest.raises(json.JSONDecodeError):
        json.loads(bad["cut_off_record"]["value"].decode())
    with pytest.raises(UnicodeDecodeError):
        headers(bad["header_not_text"])["__connect.errors.exception.message"].decode()
    assert headers(bad["offset_not_a_number"])["__streams.errors.offset"] == b"unknown"
    assert len(headers(bad["short_partition"])["kafka_dlt-original-partition"]) == 3
    assert headers(bad["null_header"])["kafka_dlt-original-topic"] is None
    assert len(headers(bad["long_timestamp"])["retry_topic-original-timestamp"]) == 40
    assert bad["null_value"]["value"] is None
    assert headers(bad["no_such_time"])["NServiceBus.TimeOfFailure"] == b"yesterday"
    assert json.loads(bad["not_an_envelope"]["value"]) == ["not", "an", "envelope"]


# The counts


def test_the_counts_are_those_of_the_letters(made: Made) -> None:
    rows = made.told.values()
    for name, column in (
        ("by_written_as", "written_as"), ("by_format", "format"), ("by_service", "service"),
        ("by_consumer", "consumer"),
        ("by_error_class", "error_class"), ("by_attempts", "attempts"),
        ("by_role", "role"), ("by_cause", "cause"),
    ):  # fmt: skip
        expected = Counter("null" if row[column] is None else str(row[column]) for row in rows)
        assert made.about[name] == expected, name
    kinds = Counter("null" if kind is None else kind for kind, _ in known(made).values())
    assert made.about["by_type"] == kinds
    days = Counter(
        "null" if row["dead_lettered_at"] is None else row["dead_lettered_at"].date().isoformat()
        for row in rows
    )
    assert made.about["by_day"] == days
    assert made.about["dead_letters"] == len(made.told)
    assert made.counts["dead letters"] == made.about["by_written_as"]


def known(made: Made) -> dict[str, tuple[str | None, str]]:
    """Letter -> type and identity of its event, by its record or another one of the same origin."""
    by_origin = {
        origin(row): (row["event_type"], row["event_id"])
        for row in made.told.values()
        if row["event_id"] is not None and row["origin_offset"] is not None
    }
    found = {}
    for letter, row in made.told.items():
        kind, event = by_origin.get(origin(row), (None, None))
        found[letter] = (row["event_type"] or kind, row["event_id"] or event or letter)
    return found


def test_a_rate_is_of_distinct_events(made: Made) -> None:
    events = Counter(event["event_type"] for event in made.events.values())
    letters: dict[str | None, set[str]] = defaultdict(set)
    for kind, event in known(made).values():
        letters[kind].add(event)
    assert set(made.about["rates"]) >= set(events)
    for kind, told in made.about["rates"].items():
        assert told["events"] == events[kind]
        assert told["dead_lettered"] == len(letters[kind])
        assert told["rate"] == pytest.approx(len(letters[kind]) / events[kind])
    distinct = {event for _, event in known(made).values()}
    assert made.about["distinct_events"] == len(distinct) < len(made.told)


def test_fingerprints_have_their_first_letter(made: Made) -> None:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in made.told.values():
        if row["fingerprint"] is not None:
            found[row["fingerprint"]].append(row)
    assert {one["fingerprint"] for one in made.about["fingerprints"]} == set(found)
    for one in made.about["fingerprints"]:
        rows = found[one["fingerprint"]]
        assert one["dead_letters"] == len(rows)
        assert {one["error_class"]} == {row["error_class"] for row in rows}
        for at in ("dead_lettered_at", "origin_at", "given_up_at"):
            known = [row[at] for row in rows if row[at] is not None]
            told = one[f"first_{at}"]
            assert (told and dt.datetime.fromisoformat(told)) == min(known, default=None)


# Writing


@pytest.mark.parametrize("events", [1, 2, 30])
def test_a_tiny_log_has_its_files_too(events: int, tmp_path: Path) -> None:
    made = make(tmp_path, events=events)
    assert made.about["dead_letters"] == len(made.told) <= events * 3


def test_neither_the_cut_into_files_nor_the_format_changes_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = samples.generate("checkout", tmp_path / "whole", events=6_000)
    samples.generate("checkout", tmp_path / "lines", events=6_000, format="ndjson")
    monkeypatch.setattr(write, "FILE_ROWS", 700)
    samples.generate("checkout", tmp_path / "cut", events=6_000)
    names = [file.name for file in whole.others]
    assert sum(name.startswith("dead_letters") for name in names) == 5
    for name in names:
        expected = (tmp_path / "whole" / name).read_bytes()
        for other in ("cut", "lines"):
            assert (tmp_path / other / name).read_bytes() == expected, name


def test_a_large_log_has_a_smaller_share(tmp_path: Path) -> None:
    small = make(tmp_path / "small", events=9_000)
    large = make(tmp_path / "large", events=90_000)
    assert len(small.told) / 9_000 > 1.5 * len(large.told) / 90_000
    assert len(large.told) > 2 * len(small.told)


def test_the_readme_tells_every_file_column_cause_and_spoilt_record() -> None:
    readme = samples.path("README.md").read_text(encoding="utf-8")
    told = [cause.name for cause in CAUSES] + [BLOCKED, *MALFORMED]
    told += [name for service in SERVICES for name in (service.name, service.format)]
    told += [service.target for service in SERVICES if service.target]
    told += pq.read_schema(samples.path("checkout/dead_letters_truth.parquet")).names
    told += json.loads(samples.path("checkout/dead_letters_truth.json").read_text())
    assert [name for name in told if f"`{name}`" not in readme] == []
    for name in ("", "_axon", "_wolverine", "_truth"):
        assert f"`checkout/dead_letters{name}.parquet`" in readme
