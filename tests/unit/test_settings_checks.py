"""Settings that do not fit together: each pair is refused with both names, and what fits is taken."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from worker.settings import (
    ElasticsearchSettings,
    EmbeddingSettings,
    IndexSettings,
    KafkaSettings,
    Settings,
    SourceSettings,
)
from worker.settings.kafka import KafkaSecurity
from worker.settings.types import Group
from worker.settings.worker import ServerSettings

SOURCE: dict[str, Any] = {
    "name": "articles",
    "topics": ["t"],
    "id": ["id"],
    "tenant": "tenant",
    "fields": {"title": "title"},
    "embed": ["title"],
}
LOGIN = {"username": "u", "password": "p"}
FINGERPRINT = ":".join(["AB"] * 32)
HTTPS = {"hosts": ["https://h:9200"]}


def refusal(group: type[Group], content: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as refused:
        group.model_validate(content)
    return str(refused.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"api_key": "k", "api_key_file": "f"}, "both api_key and api_key_file are given"),
        ({**LOGIN, "password_file": "f"}, "both password and password_file are given"),
        ({"api_key": "k", **LOGIN}, "both an API key and a username"),
        ({"api_key_file": "f", **LOGIN}, "both an API key and a username"),
        ({"username": "u"}, "username and password"),
        ({"password": "p"}, "username and password"),
        ({"password_file": "f"}, "username and password"),
        ({"hosts": ["http://u@h:9200"]}, "leave the user and password out of the URL"),
        ({"ca_file": "f"}, "need hosts that begin with https://"),
        ({"fingerprint": FINGERPRINT}, "need hosts that begin with https://"),
        ({"hosts": ["https://a:1", "http://b:1"], "ca_file": "f"}, "need hosts that begin with https://"),
        ({"hosts": []}, "hosts"),
        ({"api_key": ""}, "api_key"),
        ({"fingerprint": "AB"}, "fingerprint"),
        ({"request_timeout": 0}, "request_timeout"),
    ],
)
def test_elasticsearch_refuses(content: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(ElasticsearchSettings, content)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"api_key": "k"},
        {"api_key_file": "f"},
        LOGIN,
        {"username": "u", "password_file": "f"},
        {**HTTPS, "ca_file": "f"},
        {**HTTPS, "fingerprint": FINGERPRINT},
    ],
)
def test_elasticsearch_takes(content: dict[str, Any]) -> None:
    ElasticsearchSettings.model_validate(content)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"protocol": "SASL_SSL"}, "protocol SASL_SSL needs a mechanism"),
        ({"mechanism": "PLAIN"}, "mechanism PLAIN needs protocol SASL_SSL"),
        ({"protocol": "SASL_SSL", "mechanism": "OAUTHBEARER"}, "OAUTHBEARER needs token_file"),
        ({"protocol": "SASL_SSL", "mechanism": "PLAIN"}, "PLAIN needs username, and password"),
        ({"protocol": "SASL_SSL", "mechanism": "PLAIN", "username": "u"}, "PLAIN needs username, and password"),
        ({"protocol": "SASL_SSL", "mechanism": "PLAIN", "password": "p"}, "PLAIN needs username, and password"),
        (
            {"protocol": "SASL_SSL", "mechanism": "PLAIN", **LOGIN, "password_file": "f"},
            "both password and password_file",
        ),
        ({"protocol": "SSL", "certificate_file": "c"}, "certificate_file and key_file go together"),
        ({"protocol": "SSL", "key_file": "k"}, "certificate_file and key_file go together"),
        (LOGIN, "protocol PLAINTEXT uses no login"),
        ({"protocol": "SSL", "token_file": "t"}, "protocol SSL uses no login"),
        ({"ca_file": "f"}, "protocol PLAINTEXT uses no TLS"),
        ({"certificate_file": "c", "key_file": "k"}, "protocol PLAINTEXT uses no TLS"),
    ],
)
def test_kafka_security_refuses(content: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(KafkaSecurity, content)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"protocol": "SSL"},
        {"protocol": "SSL", "ca_file": "f", "certificate_file": "c", "key_file": "k"},
        {"protocol": "SASL_PLAINTEXT", "mechanism": "SCRAM-SHA-512", **LOGIN},
        {"protocol": "SASL_SSL", "mechanism": "SCRAM-SHA-256", "username": "u", "password_file": "f", "ca_file": "c"},
        {"protocol": "SASL_SSL", "mechanism": "OAUTHBEARER", "token_file": "t"},
    ],
)
def test_kafka_security_takes(content: dict[str, Any]) -> None:
    KafkaSecurity.model_validate(content)


@pytest.mark.parametrize(
    "address",
    ["h", "h:", ":9092", "h:port", "SASL_SSL://h:9092", "a:1,b:2", "u:p@h:9092", "h :1", "h:9092/", "h:999999"],
)
def test_a_broker_that_is_not_host_and_port_is_refused_by_its_number(address: str) -> None:
    told = refusal(KafkaSettings, {"bootstrap_servers": ["good:9092", address]})
    assert "bootstrap_servers[1] is not host:port" in told


@pytest.mark.parametrize("address", ["localhost:9092", "kafka-0.kafka.svc:9092", "10.0.0.1:1", "[::1]:9092"])
def test_a_broker_is_a_name_or_an_address_with_a_port(address: str) -> None:
    assert KafkaSettings(bootstrap_servers=[address]).bootstrap_servers == [address]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"topics": []}, "give either topics or pattern"),
        ({"pattern": "a"}, "give either topics or pattern"),
        ({"topics": [], "pattern": "("}, "not a regular expression"),
        ({"embed": ["body"]}, "embed names 'body', which is not one of its fields: title"),
        ({"fields": {"title": "title", "tenant": "x"}}, "'tenant' is written by Syncline itself"),
        ({"fields": {"title": "title", "sync.version": "x"}}, "'sync' is written by Syncline itself"),
        ({"fields": {"title": "title", "_id": "x"}}, "'_id' begins with an underscore, as Elasticsearch's own fields"),
        ({"fields": {"title": "title", "_routing": {"from": "x"}}}, "'_routing' begins with an underscore"),
        ({"fields": {"title": "title", "_meta.x": "x"}}, "'_meta.x' begins with an underscore"),
        ({"id": ["tenant", "id"]}, "leave the tenant column 'tenant' out"),
        ({"id": []}, "id"),
        ({"embed": []}, "embed"),
        ({"name": "Articles"}, "name"),
        ({"version_epoch": 128}, "version_epoch"),
        ({"version": SOURCE["id"][0]}, "names the row and never changes"),
        ({"version": SOURCE["tenant"]}, "names the row and never changes"),
    ],
)
def test_a_source_refuses(change: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(SourceSettings, {**SOURCE, **change})


ONE_TABLE = {"truncate": "delete_all", "table": "public.articles"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"truncate": "delete_all"}, "all of them must come from one table"),
        ({**ONE_TABLE, "topics": ["t", "u"]}, "all of them must come from one table"),
        ({**ONE_TABLE, "topics": [], "pattern": "t"}, "all of them must come from one table"),
        ({**ONE_TABLE, "version": "changed_at"}, "does not go with version"),
        ({**ONE_TABLE, "format": "change-event"}, "does not go with format: change-event"),
        ({"truncate": "yes"}, "'reject' or 'delete_all'"),
    ],
)
def test_truncates_that_would_delete_too_much_or_cannot_be_ordered_are_refused(
    change: dict[str, Any], sentence: str
) -> None:
    assert sentence in refusal(SourceSettings, {**SOURCE, **change})


def test_a_source_of_one_table_may_be_truncated() -> None:
    assert SourceSettings.model_validate({**SOURCE, **ONE_TABLE}).rules().truncate == "delete_all"
    assert SourceSettings.model_validate(SOURCE).rules().truncate == "reject"


def test_readers_and_the_worker_need_two_names() -> None:
    assert "write_alias must differ from alias" in refusal(IndexSettings, {"alias": "a", "write_alias": "a"})


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ({}, ("articles", "articles-write", "articles-v000001")),
        ({"environment": "staging"}, ("articles-staging", "articles-staging-write", "articles-staging-v000001")),
        ({"write_alias": "w"}, ("articles", "w", "articles-v000001")),
        ({"write_alias": "w", "environment": "e"}, ("articles-e", "w-e", "articles-e-v000001")),
    ],
)
def test_the_environment_is_in_every_name(content: dict[str, Any], names: tuple[str, str, str]) -> None:
    index = IndexSettings.model_validate(content)
    assert (index.reader_alias, index.writer_alias, index.first_index) == names


def test_the_metrics_server_listens_on_an_address_not_on_a_name() -> None:
    assert "use 127.0.0.1, 0.0.0.0 or ::" in refusal(ServerSettings, {"host": "my-host"})
    assert [ServerSettings(host=host).host for host in ("localhost", "::")] == ["localhost", "::"]


def sources(*changes: dict[str, Any]) -> dict[str, Any]:
    return {"sources": [{**SOURCE, **change} for change in changes]}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (sources({}, {"topics": ["u"]}), "the name 'articles' is given twice"),
        (sources({}, {"topics": [], "pattern": "u"}), "the name 'articles' is given twice"),
        (sources({}, {"name": "b"}), "'articles' and 'b' both read 't'"),
        (
            sources({}, {"name": "b", "topics": [], "pattern": "[st]"}),
            "the pattern of 'b' matches 't', which 'articles'",
        ),
        (sources({"topics": [], "pattern": "[st]"}, {"name": "b"}), "the pattern of 'articles' matches 't', which 'b'"),
        (
            {**sources({}), "delivery": {"drain_timeout": "60s"}},
            "delivery.drain_timeout (60 s) must be below kafka.rebalance_timeout (60 s)",
        ),
        ({**sources({}), "delivery": {"retry_initial": "31s"}}, "delivery.retry_initial must not exceed"),
        (
            sources({}, {"name": "b", "topics": ["b"], "document_id": "global", "id": ["x", "y"]}),
            "'b' (document_id: global, id of 2 columns) and 'articles' (tenant_scoped, id of 1) could make the same",
        ),
        (
            sources({"id": ["x", "y", "z"], "document_id": "global"}, {"name": "b", "topics": ["b"], "id": ["x", "y"]}),
            "'articles' (document_id: global, id of 3 columns) and 'b' (tenant_scoped, id of 2) could make",
        ),
        ({**sources({}), "kafka": {"dead_letter_topic": "t"}}, "'t' is read by the source 'articles'"),
        (
            {**sources({"topics": [], "pattern": "d.*"}), "kafka": {"dead_letter_topic": "dead"}},
            "'dead' is read by the source 'articles'",
        ),
    ],
)
def test_settings_refuse(content: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(Settings, content)


@pytest.mark.parametrize(
    "content",
    [
        sources({}, {"name": "b", "topics": ["u"]}),
        sources({}, {"name": "b", "topics": [], "pattern": "tt"}),
        sources({"topics": ["t", "t"]}),
        sources({}, {"name": "b", "topics": ["b"], "document_id": "global"}),
        sources({"id": ["x", "y"]}, {"name": "b", "topics": ["b"], "document_id": "global"}),
        sources({"document_id": "global"}, {"name": "b", "topics": ["b"], "document_id": "global", "id": ["x", "y"]}),
        {**sources({}), "delivery": {"drain_timeout": "59s"}},
        {**sources({}), "kafka": {"dead_letter_topic": "dead"}},
    ],
)
def test_settings_take(content: dict[str, Any]) -> None:
    Settings.model_validate(content)


def test_settings_never_change_after_the_start() -> None:
    settings = Settings.model_validate(sources({}))
    with pytest.raises(ValidationError, match="frozen"):
        settings.kafka.group_id = "x"  # type: ignore[misc]  # that it cannot be is the point


@pytest.mark.parametrize("content", ["key\n", "  key  ", "key\nmore\n", "key\r\n"])
def test_a_secret_is_the_first_line_of_its_file(tmp_path: Path, content: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content.encode())
    assert ElasticsearchSettings(api_key_file=file).read_api_key() == "key"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"precision": "fp16"}, "precision fp16 is for device cuda or mps: on a processor use bf16 or fp32"),
        ({"precision": "fp8"}, "precision"),
        ({"long_texts": "drop"}, "long_texts"),
        ({"batch_tokens": 0}, "batch_tokens"),
        ({"cache_size": "-1MiB"}, "cache_size"),
        ({"threads": 0}, "threads"),
    ],
)
def test_embedding_refuses(content: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(EmbeddingSettings, content)


@pytest.mark.parametrize("content", [{"precision": "fp16", "device": "cuda"}, {"precision": "bf16"}, {"cache_size": 0}])
def test_embedding_takes(content: dict[str, Any]) -> None:
    EmbeddingSettings.model_validate(content)
