"""From a file and variables to settings: what wins, what is refused, and whether the sentence says what to change."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from worker.errors import OperatorError
from worker.settings import Settings, load_settings

SOURCE: dict[str, Any] = {
    "name": "articles",
    "topics": ["t"],
    "id": ["id"],
    "tenant": "tenant",
    "fields": {"title": "title"},
    "embed": ["title"],
}


def load(folder: Path, content: str | bytes | dict[str, Any], **variables: str) -> Settings:
    """Load a file with this content; a mapping gets a source."""
    if isinstance(content, dict):
        content = yaml.safe_dump({"sources": [SOURCE], **content})
    file = folder / "syncline.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_settings(file, {f"SYNCLINE_{name}": value for name, value in variables.items()})


def refusal(folder: Path, content: str | bytes | dict[str, Any], **variables: str) -> str:
    with pytest.raises(OperatorError) as refused:
        load(folder, content, **variables)
    return str(refused.value).replace(str(folder), "")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"kafak": {}}, "kafak: unknown key; did you mean 'kafka'?"),
        ({"kafka": {"groupid": "g"}}, "kafka.groupid: unknown key; did you mean 'group_id'?"),
        ({"kafka": {"security": {"pasword": "p"}}}, "kafka.security.pasword: unknown key; did you mean 'password'?"),
        ({"sources": [{**SOURCE, "tenent": "t"}]}, "sources[0].tenent: unknown key; did you mean 'tenant'?"),
        (
            {"sources": [{**SOURCE, "fields": {"title": {"from": "title", "typ": "json"}}}]},
            "sources[0].fields.title.typ: unknown key; did you mean 'type'?",
        ),
        ({"log": {"zzz": 1}}, "log.zzz: unknown key; known here: format, level"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(
    tmp_path: Path, content: dict[str, Any], sentence: str
) -> None:
    assert refusal(tmp_path, content) == f"/syncline.yaml: {sentence}"


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [
        ("KAFAK__GROUP_ID", "there is no such setting; did you mean SYNCLINE_KAFKA__GROUP_ID?"),
        ("KAFKA__GROUPID", "there is no such setting; did you mean SYNCLINE_KAFKA__GROUP_ID?"),
        ("KAFKA_GROUP_ID", "there is no such setting; did you mean SYNCLINE_KAFKA__GROUP_ID?"),
        (
            "KAFKA__SECURITY__PASWORD",
            "there is no such setting; did you mean SYNCLINE_KAFKA__SECURITY__PASSWORD?",
        ),
        ("KAFKA__GROUP_ID__X", "there is no such setting; did you mean SYNCLINE_KAFKA__GROUP_ID?"),
        ("QQQ", "there is no such setting; variables read SYNCLINE_<GROUP>__<KEY>, see --help"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_known_one(
    tmp_path: Path, variable: str, sentence: str
) -> None:
    assert refusal(tmp_path, {}, **{variable: "x"}) == f"environment: SYNCLINE_{variable}: {sentence}"


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    told = refusal(tmp_path, {"kafak": {}, "log": {"level": "loud"}, "server": {"port": 70000}})
    assert len(told.splitlines()) == 3
    assert len(refusal(tmp_path, {}, QQQ="1", LOG="x").splitlines()) == 2


def test_the_environment_wins_over_the_file_and_leaves_the_rest_of_a_group_alone(tmp_path: Path) -> None:
    content = {"kafka": {"group_id": "file", "bootstrap_servers": ["file:1", "file:2"], "session_timeout": "50s"}}
    settings = load(tmp_path, content, KAFKA__GROUP_ID="variable", KAFKA__BOOTSTRAP_SERVERS='["variable:1"]')
    assert settings.kafka.group_id == "variable"
    assert settings.kafka.bootstrap_servers == ["variable:1"]
    assert settings.kafka.session_timeout == 50


IMAGE = {"IMAGE__MODEL": "images/model", "IMAGE__REVISION": "c0", "IMAGE__PATH": "/opt/model"}


def test_the_model_of_an_image_has_its_own_name_whatever_the_file_says(tmp_path: Path) -> None:
    content = {"embedding": {"model": "file/model", "threads": 2}}
    embedding = load(tmp_path, content, **IMAGE).embedding
    assert (embedding.identity, embedding.path, embedding.threads) == ("images/model@c0", Path("/opt/model"), 2)
    pods = {f"EMBEDDING__{key}": value for key, value in {"MODEL": "pod/m", "REVISION": "c1", "PATH": "/mnt"}.items()}
    embedding = load(tmp_path, content, **IMAGE, **pods).embedding
    assert (embedding.identity, embedding.path) == ("pod/m@c1", Path("/mnt"))


@pytest.mark.parametrize("how", ["file", "variables"])
def test_an_embedding_server_is_used_from_an_image_that_holds_a_model(tmp_path: Path, how: str) -> None:
    embedding = {"backend": "http", "model": "servers/model", "http": {"url": "http://embeddings:8080"}}
    variables = {"EMBEDDING": json.dumps(embedding)} if how == "variables" else {}
    content = {"embedding": embedding} if how == "file" else {}
    found = load(tmp_path, content, **IMAGE, **variables).embedding
    assert (found.identity, found.path) == ("servers/model", None)
    told = refusal(tmp_path, content, **IMAGE, **variables, EMBEDDING__PATH="/mnt")
    assert "path is the server's own matter" in told


def test_an_image_names_its_model_and_nothing_else(tmp_path: Path) -> None:
    assert "there is no such setting" in refusal(tmp_path, {}, IMAGE__THREADS="2")


def test_a_group_given_as_json_is_laid_over_the_file_and_under_a_single_key(tmp_path: Path) -> None:
    group = json.dumps({"group_id": "json", "security": {"protocol": "SSL"}})
    content = {"kafka": {"group_id": "file", "session_timeout": "50s"}}
    settings = load(tmp_path, content, KAFKA=group, KAFKA__GROUP_ID="single")
    assert (settings.kafka.group_id, settings.kafka.session_timeout) == ("single", 50)
    assert settings.kafka.security.protocol == "SSL"


def test_sources_can_come_from_the_environment_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(None, {"SYNCLINE_SOURCES": json.dumps([SOURCE])})
    assert settings.sources[0].name == "articles"


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"KAFKA__BOOTSTRAP_SERVERS": "a:1,b:2"}, 'must be JSON, such as ["one", "two"]'),
        ({"SOURCES": "{}"}, 'must be JSON, such as ["one", "two"]'),
        ({"KAFKA": '{"group_id": '}, 'must be JSON, such as {"key": "value"}'),
        ({"KAFKA__GROUP_ID": ""}, "is empty; give it a value, or unset it"),
        ({"LOG__LEVEL": "loud"}, "log.level: should be 'debug', 'info', 'warning' or 'error'"),
        ({"KAFKA": '{"groupid": "g"}'}, "kafka.groupid: unknown key; did you mean 'group_id'?"),
    ],
)
def test_a_mistake_in_a_variable_names_the_variable(tmp_path: Path, variables: dict[str, str], sentence: str) -> None:
    (name,) = variables
    assert refusal(tmp_path, {}, **variables) == f"environment: SYNCLINE_{name}: {sentence}"


def test_a_mistake_between_file_and_variable_names_both(tmp_path: Path) -> None:
    told = refusal(tmp_path, {}, ELASTICSEARCH__PASSWORD="p")
    assert told.startswith("/syncline.yaml with SYNCLINE_ELASTICSEARCH__PASSWORD: elasticsearch: username and password")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SERVICE_HOST", "10.0.0.7"),
        ("SERVICE_PORT", "9109"),
        ("SERVICE_PORT_METRICS", "9109"),
        ("PORT", "tcp://10.0.0.7:9109"),
        ("PORT_9109_TCP_ADDR", "10.0.0.7"),
        ("METRICS_SERVICE_HOST", "10.0.0.7"),
        ("METRICS_PORT", "tcp://10.0.0.7:9109"),
    ],
)
def test_what_kubernetes_sets_for_a_service_named_syncline_is_no_setting(
    tmp_path: Path, variable: str, value: str
) -> None:
    assert load(tmp_path, {}, **{variable: value}) == load(tmp_path, {})


def test_a_port_with_one_underscore_too_few_is_not_taken_for_such_a_service(tmp_path: Path) -> None:
    assert "did you mean SYNCLINE_SERVER__PORT?" in refusal(tmp_path, {}, SERVER_PORT="9109")


def test_settings_made_by_code_take_nothing_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo makes its own: it must not write to the cluster that a variable in the shell names."""
    monkeypatch.setenv("SYNCLINE_ELASTICSEARCH__HOSTS", '["http://production:9200"]')
    assert Settings.model_validate({"sources": [SOURCE]}).elasticsearch.urls == ["http://localhost:9200"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("kafka: {group_id: a, group_id: b}", "line 1: the key 'group_id' is given a second time; keep one of them"),
        ("kafka: {}\nlog: {}\nkafka: {}", "line 3: the key 'kafka' is given a second time; keep one of them"),
        ("- kafka", "must hold groups such as 'kafka:' and 'sources:' at its top level"),
        ("kafka", "must hold groups such as 'kafka:' and 'sources:' at its top level"),
        ("1: 2", "must hold groups such as 'kafka:' and 'sources:' at its top level"),
        (b"kafka: \xff\xfe", "is not UTF-8 text; save it as UTF-8"),
        ("", "sources: nothing to read: describe at least one source (see docs/configuration.md)"),
        ("# only a comment", "sources: nothing to read: describe at least one source (see docs/configuration.md)"),
        ("sources: []", "sources: nothing to read: describe at least one source (see docs/configuration.md)"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, content: str | bytes, sentence: str) -> None:
    assert refusal(tmp_path, content) == f"/syncline.yaml: {sentence}"


@pytest.mark.parametrize(
    "content",
    [
        "kafka: [a\nb: c",
        "kafka:\n\t- a",
        "a: b: c",
        "a: 'b",
        "a: *b",
        "a: !b c",
        "? [a]\n: b",
        "a: 2024-99-99",
        "a: \x07",
    ],
)
def test_broken_yaml_is_one_line(tmp_path: Path, content: str) -> None:
    told = refusal(tmp_path, content)
    assert told.startswith("/syncline.yaml: is not valid YAML")
    assert len(told.splitlines()) == 1


def test_the_place_in_broken_yaml_is_named(tmp_path: Path) -> None:
    assert "at line 2, column 14:" in refusal(tmp_path, "elasticsearch:\n  username: a: b")


@pytest.mark.parametrize("content", ["kafka:\n", "kafka:\n  security:\n", "log:\n"])
def test_a_group_whose_keys_are_all_commented_out_has_its_defaults(tmp_path: Path, content: str) -> None:
    assert load(tmp_path, yaml.safe_dump({"sources": [SOURCE]}) + content) == load(tmp_path, {})


def test_an_unknown_group_is_refused_even_when_it_is_empty(tmp_path: Path) -> None:
    assert "kafak: unknown key" in refusal(tmp_path, yaml.safe_dump({"sources": [SOURCE]}) + "kafak:\n")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"kafka": "x"}, "kafka: should be a group of keys"),
        ({"kafka": {"bootstrap_servers": "a:1"}}, "kafka.bootstrap_servers: should be a list, such as [one, two]"),
        ({"kafka": {"group_id": 7}}, "kafka.group_id: should be text; put a number, a date or yes/no in quotes"),
        ({"kafka": {"group_id": ""}}, "kafka.group_id: should not be empty"),
        ({"elasticsearch": {"hosts": ["h:9200"]}}, "elasticsearch.hosts[0]: should begin with http:// or https://"),
        ({"batch": {"bulk_bytes": "5 pears"}}, "batch.bulk_bytes: should be a size such as 512KiB, 5MiB or 1GB"),
        ({"index": {"alias": "Articles"}}, "index.alias: should match ^[a-z0-9][a-z0-9._-]*$"),
        (
            {"delivery": {"retry_max": "5 min"}},
            "delivery.retry_max: expected a duration such as 250ms, 30s, 5m, 12h or 7d",
        ),
        (
            {"sources": [{**SOURCE, "fields": {"title": 5}}]},
            "sources[0].fields.title: should be a column name, or a mapping such as {from: column, type: json}",
        ),
        (
            {"sources": [{key: value for key, value in SOURCE.items() if key != "tenant"}]},
            "sources[0].tenant: is required: add it",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_is_one_sentence_without_python_in_it(
    tmp_path: Path, content: dict[str, Any], sentence: str
) -> None:
    assert refusal(tmp_path, content) == f"/syncline.yaml: {sentence}"


def test_a_field_named_like_a_python_type_keeps_its_name_in_the_sentence(tmp_path: Path) -> None:
    source = {**SOURCE, "fields": {"title": "title", "str": {"from": "a", "type": "jsn"}}}
    assert "sources[0].fields.str.type: should be" in refusal(tmp_path, {"sources": [source]})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"none\.yaml: cannot be read: No such file or directory; give the right"):
        load_settings(tmp_path / "none.yaml", {})


def test_the_file_is_the_argument_else_the_variable_else_the_one_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("argument", "variable", "syncline"):
        content = {"sources": [SOURCE], "kafka": {"group_id": name}}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    variable = {"SYNCLINE_CONFIG": "variable.yaml"}
    assert load_settings(Path("argument.yaml"), variable).kafka.group_id == "argument"
    assert load_settings(None, variable).kafka.group_id == "variable"
    assert load_settings(None, {"SYNCLINE_CONFIG": ""}).kafka.group_id == "syncline"


def test_without_any_file_the_sentence_says_how_to_give_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OperatorError, match=r"no configuration file: give one with --config\): sources: nothing to"):
        load_settings(None, {})


def test_all_mistakes_are_told_at_once_each_as_its_own_sentence(tmp_path: Path) -> None:
    mistaken = {
        **SOURCE,
        "tenent": "t",
        "embed": ["body"],
        "id": ["tenant"],
    }
    content = {
        "kafka": {"groupid": "g", "security": {"username": "u"}},
        "elasticsearch": {"api_key": "k", "api_key_file": "f", "username": "u"},
        "batch": {"lookup_documents": 0},
        "delivery": {"retry_initial": "1h"},
        "sources": [{**SOURCE, "name": "other"}, {**SOURCE, "name": "third"}, mistaken],
    }
    told = refusal(tmp_path, content, LOG__LEVEL="loud", KAFKA__GRUOP_ID="g").split("\n")
    assert [sentence.partition(": ")[2] for sentence in told] == [
        "SYNCLINE_KAFKA__GRUOP_ID: there is no such setting; did you mean SYNCLINE_KAFKA__GROUP_ID?",
        "kafka.security: protocol PLAINTEXT uses no login: set protocol SASL_SSL, or remove the login",
        "kafka.groupid: unknown key; did you mean 'group_id'?",
        "elasticsearch: both api_key and api_key_file are given: keep one of them",
        "elasticsearch: both an API key and a username are given: keep one of them",
        "elasticsearch: username and password (or password_file) go together: give both or neither",
        "sources[2].tenent: unknown key; did you mean 'tenant'?",
        "batch.lookup_documents: should be greater than or equal to 1",
        "SYNCLINE_LOG__LEVEL: log.level: should be 'debug', 'info', 'warning' or 'error'",
        "sources[2]: embed names 'body', which is not one of its fields: title",
        "sources[2]: id: leave the tenant column 'tenant' out, it is added by itself",
        "delivery.retry_initial must not exceed delivery.retry_max",
        "sources: 'other' and 'third' both read 't': give it to one of them",
    ]


def test_a_variable_that_is_refused_is_not_told_as_missing_too(tmp_path: Path) -> None:
    told = refusal(tmp_path, "kafka:\n  zzz: 1\n", SOURCES="nonsense").split("\n")
    assert [sentence[:45] for sentence in told] == [
        "environment: SYNCLINE_SOURCES: must be JSON, ",
        "/syncline.yaml: kafka.zzz: unknown key; known",
    ]


def test_a_file_that_is_no_yaml_does_not_hide_a_mistaken_variable(tmp_path: Path) -> None:
    told = refusal(tmp_path, "a: [", FOO="1").split("\n")
    assert len(told) == 2
    assert told[0].startswith("environment: SYNCLINE_FOO")
