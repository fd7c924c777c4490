"""``workbench doctor``: does everything work on this machine, and if not, what to do."""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

import workbench as wb
from workbench.cli import options, show, sources
from workbench.errors import WorkbenchError

EXAMPLES: Final = (
    "workbench doctor",
    "workbench doctor --dsn postgresql://audit@db.example.org/bank",
    "workbench doctor --kafka broker:9093 \\",
    "    --option security_protocol=SSL --option ssl_cafile=ca.pem",
    "workbench doctor --json | jq .ok",
)

State = Literal["ok", "warn", "fail"]

#: Package on the registry -> module, of what a user would miss first.
_PACKAGES: Final = {
    "duckdb": "duckdb",
    "pyarrow": "pyarrow",
    "pandas": "pandas",
    "psycopg": "psycopg",
    "adbc-driver-postgresql": "adbc_driver_postgresql.dbapi",
    "aiokafka": "aiokafka",
    "altair": "altair",
    "vl-convert-python": "vl_convert",
    "jupyterlab": "jupyterlab",
    "ipywidgets": "ipywidgets",
}
_GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name
        What.
    state
        ``ok``, ``warn`` (works, but) or ``fail``.
    found
        What was found.
    next
        The next step, where there is one.
    """

    name: str
    state: State
    found: str
    next: str | None = None


def run(
    dsn: Annotated[
        str | None, typer.Option("--dsn", metavar="URL", help="A Postgres server to look at too.")
    ] = None,
    kafka: Annotated[
        str | None,
        typer.Option("--kafka", metavar="HOST:PORT", help="A Kafka broker to look at too."),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="KEY=VALUE",
            help="A setting of the Kafka client, as in workbench load.",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Check this machine: Python, packages, a DuckDB file, charts without the internet, disk, servers.

    Exits with 1 when a check fails.
    """
    wanted: list[tuple[str, Callable[[], Check | list[Check]]]] = [
        ("Python", _python),
        ("packages", _packages),
        ("log file", _log_file),
        ("bundled data", _bundled),
        ("charts", _charts),
        ("disk", _disk),
    ]
    if dsn is not None:
        wanted.append(("Postgres", lambda: _postgres(dsn)))
    if kafka is not None:
        settings = sources.client_settings(
            dict(options.pairs(option or [], "--option", "KEY=VALUE"))
        )
        wanted.append(("Kafka", lambda: _kafka(kafka, settings)))
    checks: list[Check] = []
    for name, look in wanted:
        found = _guarded(name, look)
        checks += found if isinstance(found, list) else [found]
    broken = [check for check in checks if check.state == "fail"]
    if json:
        listed = [
            {"name": one.name, "state": one.state, "found": one.found, "next": one.next}
            for one in checks
        ]
        show.document({"ok": not broken, "checks": listed})
    else:
        show.table(
            ["check", "state", "found"], [[one.name, one.state, one.found] for one in checks]
        )
        for one in checks:
            if one.next is not None:
                show.concern(f"{one.name}: {one.next}")
        show.say("All is well." if not broken else f"{len(broken)} checks failed.")
    if broken:
        raise typer.Exit(1)


def _guarded(name: str, look: Callable[[], Check | list[Check]]) -> Check | list[Check]:
    """Run a check; whatever it raises is its finding."""
    try:
        return look()
    except WorkbenchError as error:
        first, *rest = str(error).splitlines()
        return Check(name, "fail", first, " ".join(rest).strip().removeprefix("→ ") or None)
    except Exception as error:  # a doctor does not faint
        return Check(
            name,
            "fail",
            f"{type(error).__name__}: {error}",
            "install again from requirements.lock, in an environment of its own",
        )


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    where = (
        "an environment of its own"
        if sys.prefix != sys.base_prefix
        else "no environment of its own"
    )
    return Check("Python", "ok", f"{found} in {where}")


def _packages() -> list[Check]:
    checks = []
    for package, module in _PACKAGES.items():
        try:
            importlib.import_module(module)
            checks.append(Check(package, "ok", version(package)))
        except (ImportError, PackageNotFoundError) as error:
            checks.append(
                Check(package, "fail", str(error), "install again from requirements.lock")
            )
    return checks


def _log_file() -> Check:
    """Write a log, open it again, and compare."""
    with tempfile.TemporaryDirectory(prefix="workbench-doctor-") as folder:
        events = Path(folder, "events.ndjson")
        events.write_text(
            '{"stream_id": "a", "version": 1, "event_type": "Checked", "data": {"n": 1}}\n',
            encoding="utf-8",
        )
        path = Path(folder, "doctor.duckdb")
        with wb.open(path) as log:
            log.load(wb.files(events, name="doctor"), progress=False)
            written = log.fingerprint()
        with wb.open(path, read_only=True) as log:
            if log.fingerprint() != written:
                return Check(
                    "log file", "fail", "what was written is not what was read", "report it"
                )
    return Check("log file", "ok", "written, opened again, and the same")


def _bundled() -> Check:
    from workbench.bundled import sample

    sizes = {domain: sample(domain).events.stat().st_size for domain in ("bank", "checkout")}
    return Check(
        "bundled data", "ok", ", ".join(f"{name} ({size:,} bytes)" for name, size in sizes.items())
    )


def _charts() -> Check:
    from workbench import charts

    began = time.monotonic()
    with wb.open() as log, tempfile.TemporaryDirectory(prefix="workbench-doctor-") as folder:
        counted = log.sql(
            "SELECT TIMESTAMPTZ '2026-01-01 00:00Z' + INTERVAL (n) DAY AS moment, n AS total, n AS rows "
            "FROM range(5) t(n)"
        )
        picture = charts.save(charts.portfolio(counted), Path(folder, "chart.png"))
        size = picture.stat().st_size
        if not picture.read_bytes().startswith(b"\x89PNG"):
            return Check(
                "charts", "fail", "what came out is no PNG", "install vl-convert-python again"
            )
    return Check(
        "charts", "ok", f"a PNG of {size:,} bytes, offline, in {time.monotonic() - began:.1f} s"
    )


def _disk() -> list[Check]:
    checks = []
    for name, folder in (
        ("disk here", Path.cwd()),
        ("disk for spilling", Path(tempfile.gettempdir())),
    ):
        free = shutil.disk_usage(folder).free
        state: State = "ok" if free > 10 * _GIB else "warn" if free > _GIB else "fail"
        step = None if state == "ok" else "make room: a log of 20 million events takes about 5 GB"
        checks.append(Check(name, state, f"{free / _GIB:.1f} GiB free in {folder}", step))
    return checks


def _postgres(dsn: str) -> Check:
    query = (
        "SELECT current_setting('server_version') AS version, current_user::text AS who, "
        "current_setting('is_superuser') AS super"
    )
    row: dict[str, Any] = wb.read_model(dsn, query=query).fetch().to_pylist()[0]
    found = f"PostgreSQL {row['version']}, as {row['who']}"
    if row["super"] == "on":
        return Check(
            "Postgres",
            "warn",
            f"{found}, a superuser",
            "a role with SELECT alone is enough and safer",
        )
    return Check("Postgres", "ok", found)


def _kafka(bootstrap: str, settings: dict[str, Any]) -> Check:
    from workbench.sources.kafka.cluster import Cluster, check_options
    from workbench.sources.kafka.loop import LoopThread

    check_options("kafka", settings)
    with LoopThread("workbench doctor") as loop:
        cluster = Cluster(f"kafka:{bootstrap}", bootstrap, 10.0, settings)
        try:
            loop.run(cluster.open())
            topics = cluster.topics() - cluster.internal()
        finally:
            loop.run(cluster.close())
    # A broker does not tell its version over the protocol.
    return Check("Kafka", "ok", f"{bootstrap} answers; {len(topics):,} topics can be seen")
