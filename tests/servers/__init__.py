"""The servers that tests and benchmarks run on.

`start.start(kind, ...)` gives a `Servers`; each server in it starts when it is first asked for. Kinds: `embedded`
(noida-db), `jvm` (real Kafka, Connect, Debezium, PostgreSQL, Elasticsearch), `docker` (testcontainers), `external`
(addresses from the environment). `plugin` makes them a pytest fixture.
"""
