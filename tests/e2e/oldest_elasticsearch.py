"""`pytest -p tests.e2e.oldest_elasticsearch --servers jvm`: every test gets the oldest supported server."""

from tests.servers.jvm.servers import JvmKind

# Both names are one server now: the descriptor keeps what it has started under its own name.
JvmKind.elasticsearch = JvmKind.elasticsearch_8  # type: ignore[method-assign]
