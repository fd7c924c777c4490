"""What a SOURCE on the command line is: a Postgres URL, a Kafka URL, or files."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import unquote, urlsplit

import workbench as wb
from workbench.errors import ConfigError

if TYPE_CHECKING:
    from workbench.sources.base import Source
    from workbench.sources.kafka import KafkaSource
    from workbench.sources.postgres import Postgres

_POSTGRES: Final = ("postgresql://", "postgres://")
_KAFKA: Final = "kafka://"
#: Which options mean something to which kind of source; the others take all kinds.
_ONLY: Final[Mapping[str, str]] = {
    "table": "postgres",
    "layout": "postgres",
    "transaction_id": "postgres",
    "from_": "kafka",
    "until": "kafka",
    "client": "kafka",
    "format": "files",
}
#: Dead letters of whatever format they are.
ANY: Final = "any"
_SECRET: Final = ("password", "secret", "token")


@dataclass(frozen=True, slots=True)
class Options:
    """The options of ``workbench load`` that say how to read a source."""

    name: str | None = None
    columns: Mapping[str, str | list[str]] = field(default_factory=dict)
    timezone: str | None = None
    epoch: Literal["s", "ms", "us"] | None = None
    table: str | None = None
    layout: str | None = None
    position: str | None = None
    transaction_id: str | None = None
    from_: str | None = None
    until: str | None = None
    client: Mapping[str, str] = field(default_factory=dict)
    format: Literal["parquet", "ndjson", "csv"] | None = None
    dead_letters: str | None = None


def source(text: str, options: Options) -> Source:
    """Make a source of what stands on the command line.

    Raises
    ------
    ConfigError
        It cannot be read, or an option does not go with this kind of source.
    """
    kind = _kind(text)
    if options.dead_letters is not None:
        return _dead_letters(text, kind, options)
    _check(options, kind)
    if kind == "postgres":
        return _postgres(text, options)
    if kind == "kafka":
        return _kafka(text, options)
    return wb.files(
        text,
        name=options.name,
        format=options.format,
        columns=options.columns or None,
        timezone=options.timezone,
        epoch=options.epoch,
    )


def _check(options: Options, kind: str) -> None:
    for item in fields(options):
        wanted = _ONLY.get(item.name)
        if wanted not in (None, kind) and getattr(options, item.name):
            shown = {"from_": "from", "client": "option"}.get(item.name, item.name)
            message = f"--{shown.replace('_', '-')} is for sources of kind {wanted}, and this one is of kind {kind}."
            raise ConfigError(message, hint="load it by a command of its own")


def _dead_letters(text: str, kind: str, options: Options) -> Source:
    """Make a source of dead letters; by their own mark a table or a message tells its format."""
    if options.format is not None:
        message = "--format is of files of events; dead letters are known by their content."
        raise ConfigError(message, hint="say --dead-letters spring, or another format of theirs")
    _check(options, kind)
    format = None if options.dead_letters == ANY else options.dead_letters
    if kind == "files":
        return wb.dead_letters(
            text,
            format,
            name=options.name,
            columns=options.columns or None,
            timezone=options.timezone,
            epoch=options.epoch,
        )
    # The name is that of the dead letters, not of the topics that hold them.
    unnamed = replace(options, name=None)
    origin = _postgres(text, unnamed) if kind == "postgres" else _kafka(text, unnamed)
    return wb.dead_letters(origin, format, name=options.name)


def _postgres(text: str, options: Options) -> Postgres:
    return wb.postgres(
        text,
        layout=options.layout,
        table=options.table,
        columns=options.columns or None,
        position=options.position,
        transaction_id=options.transaction_id,
        name=options.name,
        timezone=options.timezone,
        epoch=options.epoch,
    )


def _kind(text: str) -> str:
    if text.startswith(_POSTGRES):
        return "postgres"
    return "kafka" if text.startswith(_KAFKA) else "files"


def _kafka(text: str, options: Options) -> KafkaSource:
    parts = urlsplit(text)
    topics = [unquote(topic) for topic in parts.path.strip("/").split(",") if topic]
    if not parts.netloc or not topics:
        message = f"{_KAFKA}… names a broker and topics."
        raise ConfigError(message, hint="write kafka://broker:9092/events.* (quoted for the shell)")
    return wb.kafka(
        parts.netloc,
        topics[0] if len(topics) == 1 else topics,
        name=options.name,
        from_=options.from_,
        until=options.until,
        columns=options.columns or None,
        timezone=options.timezone,
        epoch=options.epoch,
        **client_settings(options.client),
    )


def client_settings(given: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of the Kafka client: typed, with secrets from the environment.

    ``NAME=env:VARIABLE`` takes a value from the environment. ``ssl_cafile``, ``ssl_certfile`` and
    ``ssl_keyfile`` make the TLS context that the client wants; without them the system's own authorities
    are trusted.

    Raises
    ------
    ConfigError
        A secret stands on the command line, a variable is not set, or a certificate cannot be read.

    Examples
    --------
    >>> client_settings({"client_id": "audit", "fetch_max_bytes": "1048576"})
    {'client_id': 'audit', 'fetch_max_bytes': 1048576}
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        if value.startswith("env:"):
            variable = value.removeprefix("env:")
            if variable not in os.environ:
                message = f"--option {name}: there is no environment variable {variable!r}."
                raise ConfigError(message, hint=f"export {variable}=… first")
            found[name] = os.environ[variable]
        elif any(word in name for word in _SECRET):
            # Other users of the machine see command lines, and shells keep them.
            message = f"--option {name}: a secret does not belong on a command line."
            raise ConfigError(message, hint=f"write --option {name}=env:VARIABLE, and export it")
        else:
            found[name] = int(value) if value.isdecimal() else value
    files = {part: found.pop(f"ssl_{part}", None) for part in ("cafile", "certfile", "keyfile")}
    if any(files.values()) or str(found.get("security_protocol", "")).endswith("SSL"):
        found["ssl_context"] = _tls(**files)
    return found


def _tls(*, cafile: str | None, certfile: str | None, keyfile: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=cafile)
        if certfile:
            context.load_cert_chain(certfile, keyfile)
    except (OSError, ssl.SSLError) as error:
        given = ", ".join(path for path in (cafile, certfile, keyfile) if path)
        message = f"the certificates ({given}) cannot be used: {error}"
        raise ConfigError(message, hint="they are files in PEM format") from error
    return context
