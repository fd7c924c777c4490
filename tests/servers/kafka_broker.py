"""Starting a Kafka broker of our own: Apache Kafka where Java and Maven are at hand, else an embedded one.

Apache Kafka runs as one KRaft node. Its jars come from Maven once (about 20 s, 45 MB) and stay in the cache
folder; a start takes about 4 s and 350 MB.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

POM = Path(__file__).with_name("kafka.pom.xml")
START_SECONDS = 60

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
message.max.bytes=33554432
log.cleaner.backoff.ms=100
log.initial.task.delay.ms=100
log.retention.check.interval.ms=200
"""
_SECURE = """\
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},SECURE://127.0.0.1:{secure}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SECURE://127.0.0.1:{secure}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL
ssl.keystore.type=PKCS12
ssl.keystore.location={folder}/key.p12
ssl.keystore.password=changeit
listener.name.secure.sasl.enabled.mechanisms=PLAIN
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
  user_{user}="{password}";
"""
USER, PASSWORD = "auditor", "correct-horse-7"
_LOGGING = """\
rootLogger.level=WARN
rootLogger.appenderRefs=out
rootLogger.appenderRef.out.ref=OUT
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c %m%n
"""


class NoBrokerError(RuntimeError):
    """No broker can be started here; the message says why."""


class Broker(Protocol):
    """A running broker."""

    bootstrap: str
    label: str

    def signal(self, number: int) -> None:
        """Send it a signal: SIGSTOP makes it hang."""

    def kill(self) -> None:
        """End it at once, as a power cut does."""

    def stop(self) -> None:
        """End it and remove what it wrote."""


class _Process:
    """A broker as a process with a folder of its own."""

    label: str

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="workbench-kafka-"))
        self.log = self.folder / "log.txt"
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.port, *others = _free_ports()
            self.bootstrap = f"127.0.0.1:{self.port}"
            command = self._prepare(others)
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(
                    command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
                )
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _prepare(self, ports: list[int]) -> list[str]:
        """Write what the broker wants and return its command."""
        raise NotImplementedError

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            if _answers(self.port):
                return
            time.sleep(0.05)
        said = self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""
        message = f"{self.label} did not come up on {self.bootstrap}:\n{said}"
        raise NoBrokerError(message)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class ApacheKafka(_Process):
    """One KRaft node of Apache Kafka, broker and controller in one.

    With ``secure``, also at ``secure_bootstrap``: TLS with the certificate in ``certificate``, and
    SASL PLAIN for ``USER`` with ``PASSWORD``.
    """

    def __init__(self, *, secure: bool = False) -> None:
        self.label = f"Apache Kafka {apache_version()}"
        self._jars = jars()
        self._secure = secure
        super().__init__()

    def _prepare(self, ports: list[int]) -> list[str]:
        controller, secure = ports
        self.secure_bootstrap = f"127.0.0.1:{secure}"
        self.certificate = self.folder / "certificate.pem"
        settings = _PROPERTIES + (_SECURE if self._secure else "")
        properties = self.folder / "server.properties"
        properties.write_text(
            settings.format(
                port=self.port,
                controller=controller,
                secure=secure,
                data=self.folder / "data",
                folder=self.folder,
                user=USER,
                password=PASSWORD,
            )
        )
        if self._secure:
            self._make_key()
        logging = self.folder / "log4j2.properties"
        logging.write_text(_LOGGING)
        java = ["java", f"-Dlog4j2.configurationFile={logging}", "-cp", f"{self._jars}/*"]
        identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        _do([*java, "kafka.tools.StorageTool", "format", "-t", identity, "-c", str(properties)])
        heap = ["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC"]
        return [java[0], *heap, *java[1:], "kafka.Kafka", str(properties)]

    def _make_key(self) -> None:
        keytool = ["keytool", "-keystore", str(self.folder / "key.p12"), "-storepass", "changeit"]
        name = ["-dname", "CN=127.0.0.1", "-ext", "SAN=IP:127.0.0.1"]
        _do([*keytool, "-genkeypair", "-alias", "broker", "-keyalg", "EC", "-validity", "2", *name])
        _do([*keytool, "-exportcert", "-alias", "broker", "-rfc", "-file", str(self.certificate)])


class EmbeddedKafka(_Process):
    """The broker that the package noida-db brings: young, small, needs nothing else."""

    def __init__(self) -> None:
        self.label = f"noida-db {version('noida-db')}"
        super().__init__()

    def _prepare(self, ports: list[int]) -> list[str]:
        command = Path(sys.executable).with_name("noida-db")
        if not command.exists():
            message = "noida-db is not installed: install the group 'test'"
            raise NoBrokerError(message)
        data = ["--data-dir", str(self.folder / "data")]
        return [str(command), "start", *data, "--only", "kafka", "--kafka-port", str(self.port)]


def apache_version() -> str:
    """Return the version that the pom names."""
    found = re.search(r"<kafka.version>(.+?)</kafka.version>", POM.read_text())
    assert found is not None
    return found[1]


def has_maven() -> bool:
    """Tell whether Java and Maven are on the path."""
    return all(shutil.which(tool) for tool in ("java", "mvn"))


def jars() -> Path:
    """Return the folder of the broker's jars; Maven fetches them once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "workbench-test"
    folder = cache / f"kafka-{apache_version()}"
    if folder.is_dir():
        return folder
    if not has_maven():
        message = "Apache Kafka wants 'java' and 'mvn' on the path"
        raise NoBrokerError(message)
    cache.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix="kafka-", dir=cache))
    try:
        command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
        done = subprocess.run(
            [*command, "-DincludeScope=runtime", f"-DoutputDirectory={fresh}"],
            capture_output=True, text=True, check=False, timeout=600, cwd=fresh,
        )  # fmt: skip
        if done.returncode != 0:
            message = (
                f"Maven cannot fetch Apache Kafka:\n{done.stdout[-1000:]}{done.stderr[-1000:]}"
            )
            raise NoBrokerError(message)
        try:
            fresh.rename(folder)
        except OSError:  # another run was first
            assert folder.is_dir()
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def start(kind: str | None = None) -> Broker:
    """Start ``"apache"`` or ``"noida"``; without a kind, the first of them that works here."""
    if kind == "noida":
        return EmbeddedKafka()
    if kind == "apache":
        return ApacheKafka()
    if has_maven():
        try:
            return ApacheKafka()
        except NoBrokerError as error:
            embedded = EmbeddedKafka()
            embedded.label += f", since Apache Kafka did not start: {str(error).splitlines()[0]}"
            return embedded
    embedded = EmbeddedKafka()
    embedded.label += ", since 'java' and 'mvn' are not on the path"
    return embedded


def _do(command: list[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=START_SECONDS
    )
    if done.returncode != 0:
        message = f"{' '.join(command)} failed:\n{done.stdout[-1000:]}{done.stderr[-1000:]}"
        raise NoBrokerError(message)


def _free_ports() -> list[int]:
    """Return three ports that nobody holds just now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def _answers(port: int) -> bool:
    """Ask for the API versions, as every client does first: a port may be open before it is served."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            request = b"\x00\x12\x00\x00\x00\x00\x00\x07\x00\x04test"
            connection.sendall(len(request).to_bytes(4, "big") + request)
            return len(connection.recv(8)) == 8
    except OSError:
        return False
