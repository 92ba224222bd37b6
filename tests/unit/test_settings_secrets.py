"""A secret never shows: not in a value that is printed, and not in any sentence about a mistake."""

import json
import traceback
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from worker.errors import OperatorError
from worker.settings import Settings, load_settings
from worker.settings.showing import show

MARK = "hunter2-MARK"
SOURCE: dict[str, Any] = {
    "name": "articles",
    "topics": ["t"],
    "id": ["id"],
    "tenant": "tenant",
    "fields": {"title": "title"},
    "embed": ["title"],
}
SECURE: dict[str, Any] = {
    "sources": [SOURCE],
    "elasticsearch": {"username": "u", "password": MARK},
    "kafka": {"security": {"protocol": "SASL_SSL", "mechanism": "SCRAM-SHA-512", "username": "u", "password": MARK}},
}
WITH_KEY: dict[str, Any] = {**SECURE, "elasticsearch": {"api_key": MARK}}


@pytest.fixture(params=[SECURE, WITH_KEY], ids=["password", "api key"])
def settings(request: pytest.FixtureRequest) -> Settings:
    return Settings.model_validate(request.param)


def test_a_secret_is_masked_wherever_a_value_is_printed(settings: Settings) -> None:
    for group in (settings, settings.elasticsearch, settings.kafka, settings.kafka.security):
        for printed in (repr(group), str(group), f"{group}", str(dict(group)), group.model_dump_json()):
            assert MARK not in printed
            assert "****" in printed


def test_config_show_masks_secrets_and_shows_the_rest(settings: Settings) -> None:
    shown = show(settings)
    assert MARK not in shown
    content = yaml.safe_load(shown)
    assert content["kafka"]["security"]["password"] == "**********"
    assert content["kafka"]["security"]["username"] == "u"


def test_what_config_show_prints_can_be_loaded_again(tmp_path: Path) -> None:
    written = {
        "sources": [{**SOURCE, "fields": {"title": "title", "tags": {"from": "tags", "type": "json"}}}],
        "elasticsearch": {"hosts": ["https://h:9200"], "username": "u", "password_file": "f"},
        "delivery": {"retry_initial": "123ms"},
        "batch": {"max_in_flight": 1234567},
    }
    settings = Settings.model_validate(written)
    (tmp_path / "shown.yaml").write_text(show(settings))
    assert load_settings(tmp_path / "shown.yaml", {}) == settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"elasticsearch": {"api_key": [MARK]}},
        {"elasticsearch": {"api_key": MARK, "username": "u"}},
        {"kafka": {"security": {"protocol": "SSL", "password": MARK}}},
        {"kafka": {"security": {"pasword": MARK}}},
    ],
)
def test_a_validation_error_that_somebody_prints_as_it_is_shows_no_secret(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate({"sources": [SOURCE], **wrong})
    assert MARK not in str(refused.value)


SECRETS = [("elasticsearch", "api_key"), ("elasticsearch", "password"), ("kafka", "security", "password")]

# A mark where it belongs, in every shape a person or a template may give it; then anything wrong beside it.
marks = st.sampled_from([MARK, [MARK], {MARK: 1}, {"x": MARK}, [[MARK]]])
values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.text(max_size=3))
keys = st.sampled_from(
    [
        "kafka",
        "elasticsearch",
        "index",
        "sources",
        "delivery",
        "security",
        "hosts",
        "protocol",
        "mechanism",
        "username",
        "password",
        "password_file",
        "api_key_file",
        "ca_file",
        "drain_timeout",
        "group_id",
        "pasword",
        "apikey",
        "log",
    ]
)
mistakes = st.dictionaries(
    keys, st.recursive(values, lambda inner: st.dictionaries(keys, inner, max_size=3)), max_size=4
)


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = laid_over(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def nested(path: tuple[str, ...], value: object) -> dict[str, Any]:
    content: Any = value
    for key in reversed(path):
        content = {key: content}
    return dict(content)


def told(text: str, variables: Mapping[str, str]) -> str:
    """Everything that a person or a log could see of loading this file with these variables."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "syncline.yaml"
        file.write_text(text)
        try:
            settings = load_settings(file, variables)
        except OperatorError as error:
            return str(error) + "".join(traceback.format_exception(error))
        return repr(settings) + show(settings)


def with_secrets(content: dict[str, Any], secrets: Mapping[tuple[str, ...], object]) -> dict[str, Any]:
    for path, mark in secrets.items():
        content = laid_over(content, nested(path, mark))
    return content


@hypothesis.settings(max_examples=40)  # each loads settings twice; a unit test stays below a second
@given(st.dictionaries(st.sampled_from(SECRETS), marks, min_size=1), mistakes)
def test_no_mistake_in_the_file_makes_a_secret_show(secrets: dict[tuple[str, ...], Any], wrong: dict[str, Any]) -> None:
    valid = {"sources": [SOURCE]}
    # The mistakes over the secrets, and the secrets over the mistakes.
    for content in (laid_over(with_secrets(valid, secrets), wrong), with_secrets(laid_over(valid, wrong), secrets)):
        assert MARK not in told(yaml.safe_dump(content), {})


variables = st.dictionaries(
    st.sampled_from(
        [
            "KAFKA",
            "ELASTICSEARCH",
            "SOURCES",
            "KAFKA__SECURITY",
            "ELASTICSEARCH__PASSWORD",
            "ELASTICSEARCH__API_KEY",
            "ELASTICSEARCH__PASWORD",
            "KAFKA__SECURITY__PASSWORD",
            "KAFKA__SECURITY__PASSWORD__X",
            "KAFKA_PASSWORD",
            "ELASTICSEARCH__HOSTS",
            "KAFKA__BOOTSTRAP_SERVERS",
        ]
    ).map("SYNCLINE_{}".format),
    st.sampled_from(
        [
            MARK,
            f'"{MARK}"',
            f'["{MARK}"]',
            json.dumps({"password": MARK}),
            json.dumps({"security": {"password": [MARK]}}),
            json.dumps({"pasword": MARK}),
            f'{{"password": "{MARK}"',
            f'["http://u:{MARK}@h:9200"]',
            f'["u:{MARK}@h:1"]',
        ]
    ),
    min_size=1,
)


@given(variables)
def test_no_mistake_in_a_variable_makes_a_secret_show(variables: dict[str, str]) -> None:
    assert MARK not in told(yaml.safe_dump({"sources": [SOURCE]}), variables)


broken = st.sampled_from(
    [
        '"{}',
        "'{}",
        "{}: x",
        "@{}",
        "%{}",
        "!{} x",
        "!!{} x",
        "*{}",
        "&{}",
        "[{}",
        "{{{}",
        "x: {}: y",
        "\t{}",
        "`{}",
        "!<{}> x",
        "? [{}]\n: b",
        "- {}",
        "|{}",
        ">{}",
        "{}\n  deeper: 1",
        "{} # x\n bad",
        "!{}!x y",
    ]
)


@given(st.sampled_from(["password", "api_key"]), broken)
def test_a_line_that_is_not_yaml_is_not_quoted(key: str, form: str) -> None:
    """The parser's own message repeats the line at fault, which may well be the one with the special characters."""
    assert MARK not in told(f"elasticsearch:\n  {key}: {form.format(MARK)}\n", {})


def test_a_password_inside_a_url_is_refused_without_being_repeated() -> None:
    printed = told(yaml.safe_dump({"sources": [SOURCE], "elasticsearch": {"hosts": [f"http://u:{MARK}@h:9200"]}}), {})
    assert "leave the user and password out of the URL" in printed
    assert MARK not in printed
