"""Evidence packs: written, verified elsewhere, and every altered byte found."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import workbench as wb
from tests.cli import workbench as cli
from tests.fix_log import MakeLog
from workbench.analysis.audit.manifest import sealed
from workbench.bundled import sample

STATES = wb.Projection(
    "owners",
    {"owner": wb.latest("owner"), "moves": wb.count()},
    key={"account": "event.stream_id"},
)
SECRET = "Ada Lovelace"
EVENTS: list[dict[str, Any]] = [
    {
        "stream_id": f"acc-{number % 3}",
        "event_type": "Opened" if number < 3 else "Moved",
        "event_id": f"e{number}",
        "actor": "ada" if number % 2 else "bob",
        "recorded_at": f"2026-01-01T00:00:{number:02d}Z",
        "data": {"owner": SECRET, "amount": 1.10, "lines": [{"email": "ada@example.org"}], "n": number},
        "metadata": {"user": "ada" if number % 2 else "bob"},
    }
    for number in range(30)
]  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pack of a stream with rejects, states and everything."""
    folder = tmp_path_factory.mktemp("pack")
    with wb.open() as log:
        log.load(wb.files(sample("bank").events), progress=False)
        with log._view.database.writing() as con:
            con.execute(
                "INSERT INTO log.main.rejects SELECT 1, source, 'x/1', 'no type', 'raw'::BLOB FROM log.main.loads"
            )
        log.audit("acc-000103").pack(folder / "pack", STATES)
    return folder / "pack"


@pytest.fixture
def pack(written: Path, tmp_path: Path) -> Path:
    """A copy of that pack, to be altered."""
    return Path(shutil.copytree(written, tmp_path / "copy"))


def flip(path: Path, place: int, bit: int = 0) -> None:
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1 << bit
    path.write_bytes(raw)


# -- writing -------------------------------------------------------------------------------------


def test_what_is_in_a_pack(written: Path) -> None:
    assert sorted(path.name for path in written.iterdir()) == [
        "audit.html", "events.parquet", "hashes.parquet", "manifest.json", "rejects.parquet", "states.parquet",
        "streams.parquet",
    ]  # fmt: skip
    about = json.loads((written / "manifest.json").read_text())
    assert about["chain"]["events"] == 70
    assert about["cut_off"]["position"] == 24391
    assert about["sources"][0]["bookmark"]["files"]
    assert about["code"].keys() == {"workbench", "duckdb", "pyarrow"}
    assert about["masks"] == []
    assert pq.read_table(written / "states.parquet").to_pylist()[0]["moves"] == 70


def test_the_same_events_give_the_same_bytes(make_log: MakeLog, tmp_path: Path) -> None:
    log = make_log(EVENTS)
    seals = {log.audit().pack(tmp_path / name, STATES).seal for name in "abc"}
    assert len(seals) == 1
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_pack_of_many_groups_of_events_is_whole(tmp_path: Path) -> None:
    with wb.open() as log:
        log.load(wb.files(sample("bank").events), progress=False)
        log.audit().pack(tmp_path / "pack")
        assert pq.ParquetFile(tmp_path / "pack" / "events.parquet").num_row_groups == 4
        assert wb.verify(tmp_path / "pack").ok
        flip(tmp_path / "pack" / "events.parquet", 1_000_000)
        findings = wb.verify(tmp_path / "pack").findings
        assert re.search(
            r"8,192 events at positions [\d,]+ to [\d,]+ \(streams 'acc-", findings[1].what
        )


def test_an_empty_pack(tmp_path: Path) -> None:
    wb.open().audit().pack(tmp_path / "pack")
    found = wb.verify(tmp_path / "pack")
    assert found.ok
    assert dict(found.facts)["events"] == "0"


def test_nothing_is_overwritten(make_log: MakeLog, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    audit = make_log(EVENTS).audit()
    with pytest.raises(wb.errors.ConfigError, match="is there already"):
        audit.pack(tmp_path / "there")
    with pytest.raises(wb.errors.ConfigError, match="there is no folder"):
        audit.pack(tmp_path / "no" / "where")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there"]


# -- verifying -----------------------------------------------------------------------------------


def test_a_fresh_process_verifies_it_without_the_log(pack: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "verify", str(pack), "--json"],
        capture_output=True,
        text=True,
        check=True,
        cwd=pack.parent,
    )
    assert json.loads(done.stdout)["ok"] is True


def test_another_program_verifies_it(written: Path) -> None:
    """With hashlib and a Parquet reader alone: files, events, the order they stand in."""
    raw = (written / "manifest.json").read_bytes()
    above, _, rest = raw.rpartition(b'\n,"sha256_of_all_above": "')
    assert rest[:64].decode() == hashlib.sha256(above).hexdigest()
    for name, said in json.loads(raw)["files"].items():
        assert hashlib.sha256((written / name).read_bytes()).hexdigest() == said["sha256"]


@pytest.mark.parametrize(
    "name",
    ["audit.html", "events.parquet", "hashes.parquet", "manifest.json", "rejects.parquet", "states.parquet", "streams.parquet"],
)  # fmt: skip
def test_each_flipped_byte_is_found_and_its_file_named(pack: Path, name: str) -> None:
    path = pack / name
    raw = path.read_bytes()
    draw = random.Random(name)
    for place in [
        0,
        3,
        len(raw) // 2,
        len(raw) - 1,
        *(draw.randrange(len(raw)) for _ in range(14)),
    ]:
        flip(path, place, draw.randrange(8))
        found = wb.verify(pack)
        assert name in {item.file for item in found.findings}, place
        if name != "manifest.json":
            assert {item.file for item in found.findings} <= {name, "events.parquet"}
        path.write_bytes(raw)
    assert wb.verify(pack).ok


def rewritten(pack: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change events as somebody would who knows the manifest, and hides it there."""
    table = pq.read_table(pack / "events.parquet")
    rows = table.to_pylist()
    change(rows)
    pq.write_table(table.from_pylist(rows, table.schema), pack / "events.parquet")
    about = json.loads((pack / "manifest.json").read_text())
    about.pop("sha256_of_all_above")
    raw = (pack / "events.parquet").read_bytes()
    about["files"]["events.parquet"] = {
        "bytes": len(raw),
        "sha256": hashlib.sha256(raw).hexdigest(),
    }
    (pack / "manifest.json").write_bytes(sealed(about))


def test_a_changed_event_is_named_also_when_the_manifest_was_changed_with_it(pack: Path) -> None:
    rewritten(pack, lambda rows: rows[4].update(actor="nobody"))
    findings = [str(item) for item in wb.verify(pack).findings]
    assert (
        "hashes.parquet: event at position 1132" in findings[0]
        or "event at position" in findings[0]
    )
    assert any("version 5" in item for item in findings)
    assert any("head of its chain" in item for item in findings)
    assert any("head of stream 'acc-000103'" in item for item in findings)


@pytest.mark.parametrize(
    "change", [lambda rows: rows.pop(7), lambda rows: rows.append({**rows[0], "position": 1})]
)
def test_a_removed_and_an_added_event_are_named(pack: Path, change: Any) -> None:
    rewritten(pack, change)
    assert any("event at position" in item.what for item in wb.verify(pack).findings)


def test_a_pack_that_was_written_anew_has_another_seal(make_log: MakeLog, tmp_path: Path) -> None:
    seal = make_log(EVENTS).audit().pack(tmp_path / "true").seal
    make_log([*EVENTS[:-1], {**EVENTS[-1], "actor": "eve"}]).audit().pack(tmp_path / "false")
    assert wb.verify(tmp_path / "true", seal=seal).ok
    assert wb.verify(tmp_path / "false").ok
    (finding,) = wb.verify(tmp_path / "false", seal=seal).findings
    assert "is not the one that was sealed" in finding.what


def test_added_and_removed_files_are_named(pack: Path) -> None:
    (pack / "notes.txt").write_text("hello")
    (pack / "deeper").mkdir()
    (pack / "deeper" / "file").touch()
    (pack / "states.parquet").unlink()
    assert {(item.file, item.what.partition(":")[0]) for item in wb.verify(pack).findings} == {
        ("notes.txt", "does not belong to the pack"),
        ("deeper", "does not belong to the pack"),
        ("deeper/file", "does not belong to the pack"),
        ("states.parquet", "is not there any more"),
    }


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"{", b"\xff\xfe", b'{"files": 1}'])
def test_a_manifest_that_is_none(pack: Path, content: bytes) -> None:
    (pack / "manifest.json").write_bytes(content)
    assert {item.file for item in wb.verify(pack).findings} == {"manifest.json"}
    (pack / "manifest.json").unlink()
    assert "is not there" in wb.verify(pack).findings[0].what


def test_a_manifest_cannot_point_outside(pack: Path) -> None:
    about = json.loads((pack / "manifest.json").read_text())
    about.pop("sha256_of_all_above")
    about["files"]["../secret"] = {"bytes": 1, "sha256": "0"}
    (pack / "manifest.json").write_bytes(sealed(about))
    (finding,) = wb.verify(pack).findings
    assert str(finding) == "../secret: is not there any more"


# -- the page ------------------------------------------------------------------------------------


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_the_page_is_safe_and_asks_nothing_of_a_network(make_log: MakeLog, tmp_path: Path) -> None:
    evil = '<script>alert(1)</script><img src="https://evil.example/x" onerror=alert(1)>'
    log = make_log(
        [
            {
                "stream_id": evil,
                "event_type": evil,
                "actor": evil,
                "data": {"reason": evil, "owner": evil},
            }
        ]
    )
    log.audit().pack(tmp_path / "pack", STATES)
    page = (tmp_path / "pack" / "audit.html").read_text()
    seen = Seen()
    seen.feed(page)
    assert seen.tags <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td",
        "code", "ul", "li", "strong",
    }  # fmt: skip
    assert seen.attributes <= {"lang", "charset", "http-equiv", "content", "class"}
    assert "default-src 'none'" in page
    assert "url(" not in page
    assert "@import" not in page


def test_the_page_tells_the_story(written: Path) -> None:
    page = (written / "audit.html").read_text()
    for told in (
        "Audit of acc-000103",
        "insufficient_funds",
        "No version is missing",
        "workbench verify",
    ):
        assert told in page


def test_the_page_shows_where_versions_are_missing(make_log: MakeLog, tmp_path: Path) -> None:
    log = make_log([{"stream_id": "a", "version": 1}, {"stream_id": "a", "version": 5}])
    log.audit("a").pack(tmp_path / "pack")
    assert "— 3 missing —" in (tmp_path / "pack" / "audit.html").read_text()


# -- masks ---------------------------------------------------------------------------------------


def everything(folder: Path) -> str:
    """All text that is anywhere in a pack, Parquet read out."""
    found = []
    for path in folder.iterdir():
        found.append(path.read_bytes().decode("utf-8", "replace"))
        if path.suffix == ".parquet":
            found.append(repr(pq.read_table(path).to_pylist()))
            found.append(repr(pq.ParquetFile(path).metadata.to_dict()))
    return "\n".join(found)


@pytest.mark.parametrize("by", ["text", "remove", "hash"])
def test_masked_fields_are_masked_in_every_file(make_log: MakeLog, tmp_path: Path, by: Any) -> None:
    key = "a key that nobody knows"
    mask = wb.mask(
        "owner", "lines.email", "metadata.user", by=by, key=key if by == "hash" else None
    )
    log = make_log(EVENTS)
    audit = log.where(actor="ada").audit()
    pack = audit.pack(tmp_path / "pack", STATES, mask=mask)
    text = everything(tmp_path / "pack")
    for secret in (SECRET, "Lovelace", "ada@example.org", "'ada'", '"ada"', "= ada", key):
        assert secret not in text, secret
    assert "1.1" in text  # the rest is there
    assert wb.verify(tmp_path / "pack", seal=pack.seal).ok
    about = json.loads((tmp_path / "pack" / "manifest.json").read_text())
    assert about["masks"] == [mask.words]
    assert "This pack is masked" in (tmp_path / "pack" / "audit.html").read_text()
    assert about["chain"]["sha256"] != audit.head.sha256
    assert "masked" in repr(pack)


def test_masked_states_are_those_of_masked_events(make_log: MakeLog, tmp_path: Path) -> None:
    make_log(EVENTS).audit().pack(tmp_path / "pack", STATES, mask="owner")
    states = pq.read_table(tmp_path / "pack" / "states.parquet").to_pylist()
    assert [(row["owner"], row["moves"]) for row in states] == [("[masked]", 10)] * 3


def test_equal_values_stay_equal_under_one_key_only(make_log: MakeLog, tmp_path: Path) -> None:
    def actors(name: str, **how: Any) -> list[Any]:
        audit = make_log(EVENTS).audit()
        audit.pack(
            tmp_path / name, mask=wb.mask("event.actor", "event.stream_id", by="hash", **how)
        )
        rows = pq.read_table(tmp_path / name / "events.parquet").to_pylist()
        return [row["actor"] for row in sorted(rows, key=lambda row: row["position"])]

    one, same, other = (
        actors(name, key=key * 4) for name, key in (("a", "key1"), ("b", "key1"), ("c", "key2"))
    )
    assert one == same
    assert not set(one) & set(other)
    assert one[0] == one[2] != one[1]
    assert set(actors("d")) & set(actors("e")) == set()  # drawn keys are gone


def test_a_gap_stays_where_it_is_in_a_masked_pack_of_a_narrowed_log(
    make_log: MakeLog, tmp_path: Path
) -> None:
    log = make_log([{"stream_id": "a", "event_type": kind} for kind in "xyxyx"])
    log.where(types="x").audit().pack(tmp_path / "pack", mask="owner")
    assert "missing —" not in (tmp_path / "pack" / "audit.html").read_text()
    assert json.loads((tmp_path / "pack" / "manifest.json").read_text())["counts"]["missing"] == 0


# -- the command line ----------------------------------------------------------------------------


def test_the_verbs_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, pack = tmp_path / "bank.duckdb", tmp_path / "evidence"
    assert cli("load", log, sample("bank").events).code == 0
    told = cli("audit", log, "--stream", "acc-000103", "--json", "--limit", 2)
    head = json.loads(told.out)["head"]
    assert len(json.loads(told.out)["rows"]) == 2
    monkeypatch.setenv("MASK_KEY", "0123456789abcdef")
    made = cli(
        "audit", log, "--stream", "acc-000103", "-o", pack, "--definition", "bank.account",
        "--mask", "owner", "--mask", "event.actor=hash", "--mask-key", "env:MASK_KEY",
    )  # fmt: skip
    assert made.code == 0, made.err
    assert "0123456789abcdef" not in made.out + everything(pack)
    assert cli("verify", pack).code == 0
    assert cli("audit", log, "--stream", "acc-000103", "--against", head).code == 0
    with wb.open(log) as opened, opened._view.database.writing() as con:
        con.execute(
            "UPDATE log.main.events_base SET actor = 'eve' WHERE stream_id = 'acc-000103' AND version = 9"
        )
    found = cli("audit", log, "--stream", "acc-000103", "--against", head)
    assert found.code == 1
    assert "altered" in found.out
    flip(pack / "audit.html", 100)
    broken = cli("verify", pack)
    assert broken.code == 1
    assert "audit.html: does not match its hash" in broken.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mask", "owner"], "-o names no folder"),
        (["-o", "x", "--mask", "owner=rot13"], "is no way to mask"),
        (
            ["-o", "x", "--mask", "owner=hash", "--mask-key", "secret-secret-secret"],
            "does not belong on a command line",
        ),
        (
            ["-o", "x", "--mask", "owner=hash", "--mask-key", "env:NO_SUCH_KEY"],
            "no environment variable",
        ),
        (["-o", "x", "--mask", "event.position"], "cannot be masked"),
        (["--against", "nonsense"], "is no head of a chain"),
    ],
)
def test_what_audit_refuses(tmp_path: Path, arguments: list[str], said: str) -> None:
    wb.open(tmp_path / "log.duckdb").close()
    done = cli("audit", tmp_path / "log.duckdb", *arguments)
    assert done.code == 2
    assert said in done.err
    assert "secret-secret" not in done.err


def test_causation_on_the_command_line(tmp_path: Path) -> None:
    log = tmp_path / "shop.duckdb"
    cli("load", log, sample("checkout").events)
    with wb.open(log, read_only=True) as opened:
        flow = opened.sql(
            "SELECT correlation_id AS id FROM events GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
        ).rows()[0]["id"]
    told = cli("causation", log, flow, "-o", tmp_path / "tree.parquet")
    assert "OrderCreated" in told.out
    assert (tmp_path / "tree.parquet").exists()
    document = json.loads(cli("causation", log, "--json").out)
    assert document["counts"]["orphans"] == 0
    assert cli("causation", log, "nobody").code == 2
