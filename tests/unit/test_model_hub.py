"""Whether a model is there: all of it in the cache, or a hub that can be asked."""

import json
from fnmatch import fnmatch
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError

from worker.adapters.model_hub import hub_fault, in_cache
from worker.adapters.openvino_model import model_folder
from worker.app import model
from worker.app.model import check_model
from worker.settings import EmbeddingSettings
from worker.stages.findings import Level

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG, PARTS = ("config.json", "{}"), ("modules.json", "[]")
INDEX = ("model.safetensors.index.json", json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}))


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the cache of this test has the model `some/model`, which holds no file yet."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("SENTENCE_TRANSFORMERS_HOME", raising=False)
    return snapshot_in(tmp_path)


def snapshot_in(cache: Path, name: str = "some/model") -> Path:
    model = cache / f"models--{name.replace('/', '--')}"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    folder = model / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    return folder


def put(folder: Path, *files: tuple[str, str]) -> None:
    for name, content in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)


@pytest.mark.parametrize(
    ("files", "whole"),
    [
        ([], False),
        ([CONFIG], False),
        ([PARTS], False),
        ([PARTS, CONFIG], False),
        ([("model.safetensors", "")], False),
        ([PARTS, CONFIG, ("model.safetensors", "")], True),
        ([PARTS, CONFIG, ("pytorch_model.bin", "")], True),
        ([CONFIG, ("model.safetensors", "")], True),
        ([PARTS, ("0_Transformer/pytorch_model.bin", "")], True),
        ([PARTS, CONFIG, ("2_Dense/model.safetensors", "")], False),
        ([PARTS, CONFIG, INDEX, ("one.safetensors", "")], False),
        ([PARTS, CONFIG, INDEX, ("one.safetensors", ""), ("two.safetensors", "")], True),
        ([PARTS, CONFIG, (INDEX[0], INDEX[1][:20])], False),
        ([PARTS, CONFIG, (INDEX[0], "[]")], False),
    ],
)
def test_a_model_is_in_the_cache_with_its_weights_or_not_at_all(
    snapshot: Path, files: list[tuple[str, str]], *, whole: bool
) -> None:
    put(snapshot, *files)
    assert in_cache("some/model", None) is whole
    assert in_cache("some/model", COMMIT) is whole
    assert not in_cache("some/other", None)


def test_weights_of_another_revision_do_not_count(snapshot: Path) -> None:
    put(snapshot, PARTS, CONFIG)
    before = snapshot.with_name("f" * 40)
    before.mkdir()
    put(before, PARTS, CONFIG, ("model.safetensors", ""))
    assert not in_cache("some/model", None)
    assert in_cache("some/model", "f" * 40)


def test_the_cache_is_the_one_that_sentence_transformers_uses(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(snapshot, PARTS, CONFIG, ("model.safetensors", ""))
    own = tmp_path / "own"
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(own))
    assert not in_cache("some/model", None), "nothing is looked for there"
    put(snapshot_in(own), PARTS, CONFIG, ("model.safetensors", ""))
    assert in_cache("some/model", None)
    assert in_cache("some/model", COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert model_folder(EmbeddingSettings(model="some/model")).is_relative_to(own)


@pytest.mark.parametrize(
    ("model", "owned"),
    [("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"), ("bert-base-uncased", None), ("some/model", None)],
)
def test_a_name_without_an_owner_is_the_one_that_sentence_transformers_means(
    model: str, owned: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(snapshot_in(tmp_path, owned or model), PARTS, CONFIG, ("model.safetensors", ""))
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert in_cache(model, None)
    name = (owned or model).replace("/", "--")
    assert f"models--{name}" in model_folder(EmbeddingSettings(model=model)).parts


def test_a_name_that_the_hub_has_not_under_either_owner_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(LocalEntryNotFoundError):
        model_folder(EmbeddingSettings(model="no-such-model"))


@pytest.mark.parametrize(
    ("weights", "kept"),
    [
        (["model.safetensors", "pytorch_model.bin"], ["model.safetensors"]),
        (["pytorch_model.bin"], ["pytorch_model.bin"]),
        (["0_Transformer/pytorch_model.bin"], ["0_Transformer/pytorch_model.bin"]),
        (
            ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"],
            ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"],
        ),
    ],
)
def test_weights_of_the_older_form_are_fetched_where_there_are_no_others(
    weights: list[str], kept: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ["config.json", "1_Pooling/config.json", "vocab.txt", "onnx/model.onnx", "training_args.bin", *weights]

    def download(_name: str, allow_patterns: list[str], **_: object) -> str:
        # As the library chooses them.
        put(tmp_path, *((name, "{}") for name in files if any(fnmatch(name, one) for one in allow_patterns)))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    folder = model_folder(EmbeddingSettings(model="some/model"))
    found = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert found == {"config.json", "1_Pooling/config.json", "vocab.txt", *kept}


def test_a_folder_and_a_name_that_no_model_can_have(tmp_path: Path) -> None:
    assert in_cache(str(tmp_path), None)
    assert not in_cache("no//model..", None)


@pytest.mark.parametrize(
    "address", ["http://h:99999", "http://h:word", "http://user:sec/ret@h", "http://[h", f"http://{'h' * 70}"]
)
def test_an_address_that_is_none_is_said_and_not_repeated(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", *(f"{kind}_{end}" for kind in ("HTTPS", "HTTP", "ALL") for end in ("PROXY",))):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HF_ENDPOINT", address)
    assert hub_fault() == "HF_ENDPOINT is not the address of a server"


@pytest.mark.parametrize("path", [None, Path()], ids=["from the hub", "in a folder"])
async def test_an_address_that_is_none_is_said_before_a_library_is_imported_that_fails_on_it(
    path: Path | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").touch()
    monkeypatch.setenv("HF_ENDPOINT", "http://user:sec/ret@h")
    monkeypatch.setattr(model, "in_cache", lambda *_: pytest.fail("imported"))
    (found,), _ = await check_model(EmbeddingSettings(model="some/model", path=path and tmp_path))
    assert found.level is Level.FAILURE
    assert f"{found.sentence}: {found.fix}" == (
        "HF_ENDPOINT is not the address of a server: correct the variable, or unset it"
    )
