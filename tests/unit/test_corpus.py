import sys
from pathlib import Path

import pytest

from worker.demo.corpus import Document, pick, read_corpus
from worker.demo.model import DEFAULT_MODEL, find_model
from worker.errors import OperatorError


@pytest.fixture(scope="module")
def corpus() -> tuple[Document, ...]:
    return read_corpus()


def test_there_are_thousands_of_texts_of_many_tenants(corpus: tuple[Document, ...]) -> None:
    assert len(corpus) > 3_500
    assert len({document.tenant for document in corpus}) > 100


def test_keys_are_unique_and_every_tenant_counts_from_one(corpus: tuple[Document, ...]) -> None:
    assert len({(document.tenant, document.id) for document in corpus}) == len(corpus)
    for tenant in ("asyncio", "json"):
        numbers = [document.id for document in corpus if document.tenant == tenant]
        assert numbers == list(range(1, len(numbers) + 1))


def test_titles_are_the_names_that_people_use(corpus: tuple[Document, ...]) -> None:
    titles = {document.title: document for document in corpus}
    assert titles["asyncio.Queue.put"].tenant == "asyncio"
    assert titles["asyncio.Queue.put"].tags == ("method", "asyncio.queues")
    assert titles["json.JSONDecoder"].tags[0] == "class"
    assert titles["textwrap"].tags == ("module",)
    assert titles["textwrap.wrap"].tags == ("function",)
    assert not [title for title in titles if any(part.startswith("_") for part in title.split("."))]


def small_library(folder: Path) -> Path:
    (folder / "json" / "tests").mkdir(parents=True)
    (folder / "json" / "tests" / "test_it.py").write_text('"""A text that belongs to tests alone."""')
    (folder / "json" / "__init__.py").write_text(
        '"""The package, described at length."""\nraise SystemExit("imported")\nfrom .decoder import *\n'
    )
    (folder / "json" / "decoder.py").write_text(
        '__all__ = ["Decoder"]\n'
        "class Decoder:\n"
        '    """Decodes all that\n       is encoded."""\n'
        "    def decode(self):\n"
        '        """Short."""\n'
        "    def _hidden(self):\n"
        '        """A long text that nobody should find."""\n'
        'if True:\n    def other():\n        """One of two platforms, the first."""\n'
        'else:\n    def other():\n        """One of two platforms, the second."""\n'
    )
    (folder / "json" / "broken.py").write_text("def {{name}}():")
    return folder


def test_sources_are_read_and_never_imported(tmp_path: Path) -> None:
    documents = read_corpus(small_library(tmp_path))
    assert [(document.id, document.title, document.content) for document in documents] == [
        (1, "json", "The package, described at length."),
        (2, "json.Decoder", "Decodes all that\nis encoded."),
        (3, "json.decoder.other", "One of two platforms, the first."),
    ]
    assert "json.broken" not in sys.modules


def test_a_sample_is_spread_over_the_tenants(corpus: tuple[Document, ...]) -> None:
    sample = pick(corpus, 200)
    assert len(sample) == len(set(sample)) == 200
    assert len({document.tenant for document in sample}) > 40
    assert pick(sample, 500) == sample


def test_another_model_than_the_default_is_the_operators_choice(tmp_path: Path) -> None:
    assert find_model("intfloat/e5-small") == "intfloat/e5-small"
    assert find_model(str(tmp_path)) == str(tmp_path)


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for variable in ("SENTENCE_TRANSFORMERS_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    return tmp_path / "hub" / "models--sentence-transformers--all-MiniLM-L6-v2" / "snapshots" / "abc"


def test_without_any_model_one_sentence_says_what_to_install(no_model: Path) -> None:
    assert not no_model.exists()
    with pytest.raises(OperatorError, match=r"syncline\[demo\]"):
        find_model(DEFAULT_MODEL)


def test_a_model_in_the_cache_is_used_by_its_name_if_it_is_complete(no_model: Path) -> None:
    no_model.mkdir(parents=True)
    (no_model / "modules.json").touch()
    with pytest.raises(OperatorError):
        find_model(DEFAULT_MODEL)
    (no_model / "model.safetensors").touch()
    assert find_model(DEFAULT_MODEL) == DEFAULT_MODEL
    assert find_model("all-MiniLM-L6-v2") == "all-MiniLM-L6-v2"


def test_sentence_transformers_looks_nowhere_else_where_it_has_a_cache_of_its_own(
    no_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path / "own"))
    there = tmp_path / "own" / no_model.relative_to(tmp_path / "hub")
    for folder in (no_model, there):
        folder.mkdir(parents=True)
        (folder / "modules.json").touch()
    (no_model / "model.safetensors").touch()
    with pytest.raises(OperatorError):
        find_model(DEFAULT_MODEL)
    (there / "model.safetensors").touch()
    assert find_model(DEFAULT_MODEL) == DEFAULT_MODEL


def test_the_package_is_used_where_the_cache_is_empty(
    monkeypatch: pytest.MonkeyPatch, no_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "package" / "model"
    folder.mkdir(parents=True)
    (folder / "modules.json").touch()
    (folder / "model.safetensors").touch()

    class Spec:
        submodule_search_locations = (str(folder.parent),)

    monkeypatch.setattr("importlib.util.find_spec", lambda _name: Spec)
    assert not no_model.exists()
    assert find_model(DEFAULT_MODEL) == str(folder)
