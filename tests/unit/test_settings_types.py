"""Durations, sizes and secrets in files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from worker.errors import OperatorError
from worker.settings import ElasticsearchSettings, KafkaSecurity
from worker.settings.embedding_backends import HttpEmbeddingSettings
from worker.settings.types import Bytes, Seconds

seconds: TypeAdapter[float] = TypeAdapter(Seconds)
size: TypeAdapter[int] = TypeAdapter(Bytes)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("250ms", 0.25),
        ("30s", 30),
        ("5m", 300),
        ("12h", 43200),
        ("7d", 604800),
        ("1.5h", 5400),
        (" 3 s ", 3),
        ("30", 30),
        (30, 30),
        (0.5, 0.5),
        (0, 0),
    ],
)
def test_a_duration_is_a_number_of_seconds_or_has_a_unit(written: object, read: float) -> None:
    assert seconds.validate_python(written) == read


@pytest.mark.parametrize("written", ["", "s", "5 min", "-1s", -1, "1h30m", True, None, float("nan"), float("inf")])
def test_anything_else_is_no_duration(written: object) -> None:
    with pytest.raises(ValidationError, match="duration"):
        seconds.validate_python(written)


@given(
    st.floats(min_value=0, max_value=1e9)
    | st.integers(0, 10**9).map(float)
    | st.integers(0, 10**6).map(lambda ms: ms / 1000)
)
def test_a_printed_duration_reads_as_the_same_number(value: float) -> None:
    assert seconds.validate_python(seconds.dump_python(value, mode="json")) == value


@pytest.mark.parametrize(("value", "printed"), [(60, "1m"), (90, "90s"), (0.2, "200ms"), (0, "0s"), (604800, "7d")])
def test_a_duration_is_printed_as_a_person_would_write_it(value: float, printed: str) -> None:
    assert seconds.dump_python(value, mode="json") == printed


@given(st.integers(0, 2**50) | st.integers(0, 2**20).map(lambda count: count * 1024))
def test_a_printed_size_reads_as_the_same_number(value: int) -> None:
    assert size.validate_python(size.dump_python(size.validate_python(value), mode="json")) == value


@pytest.mark.parametrize(
    ("written", "read", "printed"), [("5MiB", 5 * 1024**2, "5MiB"), ("1GB", 10**9, 10**9), (1536, 1536, 1536)]
)
def test_a_size_is_printed_in_the_largest_unit_that_is_exact(written: object, read: int, printed: object) -> None:
    value = size.validate_python(written)
    assert value == read
    assert size.dump_python(value, mode="json") == printed


def test_a_rotated_secret_is_seen_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "password"
    security = KafkaSecurity.model_validate(
        {"protocol": "SASL_SSL", "mechanism": "PLAIN", "username": "u", "password_file": file}
    )
    for secret in ("one", "two"):
        file.write_text(secret)
        assert security.read_password() == secret


def test_a_secret_in_place_needs_no_file() -> None:
    settings = ElasticsearchSettings.model_validate({"username": "u", "password": "p"})
    assert (settings.read_password(), settings.read_api_key()) == ("p", None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory; give the path of a readable file"),
        (b"", "is empty; write the secret on its first line"),
        (b"\nsecond line", "is empty; write the secret on its first line"),
        (b"\xff\xfe", "it is not UTF-8 text; give the path of a readable file"),
    ],
)
def test_a_secrets_file_that_cannot_be_used_is_named_with_its_setting(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(OperatorError) as refused:
        ElasticsearchSettings(api_key_file=file).read_api_key()
    assert str(refused.value).startswith("elasticsearch.api_key_file: ")
    assert str(file) in str(refused.value)
    assert str(refused.value).endswith(reason)


@pytest.mark.parametrize("content", [b"k e y\n", b" k e y \r\nsecond", b"\xef\xbb\xbfk e y\n", b"k e y"])
def test_space_and_a_byte_order_mark_around_a_secret_are_no_part_of_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    assert ElasticsearchSettings(api_key_file=file).read_api_key() == "k e y"
    in_place = {"username": "u", "password": content.decode().split("\n")[0] + "\n"}
    assert ElasticsearchSettings.model_validate(in_place).read_password() == "k e y"


@pytest.mark.parametrize(
    "secret", ["hunter2\x00", "hun\tter2", "hun\rter2", "hunter2\x1b[0m", "hun\x0cter2", "hun\x85ter2"]
)
def test_a_control_character_in_a_secret_is_refused_by_its_setting_and_the_secret_not_shown(
    tmp_path: Path, secret: str
) -> None:
    file = tmp_path / "key"
    file.write_text(secret, encoding="utf-8", newline="")
    sasl = {"protocol": "SASL_SSL", "mechanism": "PLAIN", "username": "u"}
    readings = {
        "elasticsearch.api_key": ElasticsearchSettings.model_validate({"api_key": secret}).read_api_key,
        "elasticsearch.api_key_file": ElasticsearchSettings(api_key_file=file).read_api_key,
        "kafka.security.password": KafkaSecurity.model_validate({**sasl, "password": secret}).read_password,
        "embedding.http.api_key": HttpEmbeddingSettings.model_validate({"api_key": secret}).read_api_key,
    }
    for setting, read in readings.items():
        if "\r" in secret and setting.endswith("_file"):
            continue  # it ends a line
        with pytest.raises(OperatorError) as refused:
            read()
        said = str(refused.value)
        assert said.startswith(f"{setting}: ")
        assert "control character" in said
        assert "hun" not in said.removeprefix(f"{setting}: {file}")


@pytest.mark.parametrize("secret", [" ", "\n", "\ufeff"])
def test_a_secret_of_space_alone_is_refused(secret: str) -> None:
    with pytest.raises(OperatorError, match=r"^elasticsearch\.password: it is empty; write the secret$"):
        ElasticsearchSettings.model_validate({"username": "u", "password": secret}).read_password()
