"""What every model of this process promises: the fake, torch, and OpenVINO, with small models of several kinds."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import (
    BartConfig,
    BartModel,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    MPNetConfig,
    MPNetModel,
    PreTrainedModel,
    RobertaConfig,
    RobertaModel,
)

from tests.e2e.make_tiny_model import make
from tests.fakes.embedding_model import FakeModel
from worker.adapters.local_embedder import LocalEmbedder
from worker.adapters.openvino_conversion import described, read_about
from worker.adapters.openvino_model import OpenVinoModel
from worker.adapters.torch_model import TorchModel
from worker.errors import OperatorError
from worker.ports import EmbeddingModel, ModelShape
from worker.settings import EmbeddingSettings

SHAPE: Any = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
TEXTS = ["", "a", "a few words", "word " * 300, "日本語 and 😀", "ab" * 40, "a few words"]


def bert(words: int) -> PreTrainedModel:
    return BertModel(BertConfig(vocab_size=words, max_position_embeddings=128, **SHAPE))


def roberta(words: int) -> PreTrainedModel:
    """Counts positions from behind the padding token."""
    return RobertaModel(RobertaConfig(vocab_size=words, max_position_embeddings=128, pad_token_id=0, **SHAPE))


def mpnet(words: int) -> PreTrainedModel:
    """Adds a bias to attention by the distance in the batch: it cannot be packed."""
    return MPNetModel(MPNetConfig(vocab_size=words, max_position_embeddings=128, pad_token_id=0, **SHAPE))


def bart(words: int) -> PreTrainedModel:
    """Counts positions by itself, and has none for a batch without padding: a sequence longer than any text."""
    layers: Any = {f"{part}_{name}": 4 for part in ("encoder", "decoder") for name in ("layers", "attention_heads")}
    return BartModel(BartConfig(vocab_size=words, d_model=32, max_position_embeddings=64, pad_token_id=0, **layers))


def gpt2(words: int) -> PreTrainedModel:
    return GPT2Model(GPT2Config(vocab_size=words, n_positions=64, n_embd=32, n_layer=1, n_head=4))


KINDS: dict[str, Callable[[int], PreTrainedModel]] = {"bert": bert, "roberta": roberta, "mpnet": mpnet}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each kind: the words of the tiny model, a transformer of that kind."""
    tiny = tmp_path_factory.mktemp("tiny")
    make(tiny)
    found = {}
    for kind, transformer in (KINDS | {"bart": bart, "gpt2": gpt2}).items():
        torch.manual_seed(2)
        whole = SentenceTransformer(str(tiny), device="cpu")
        first = whole[0]
        assert isinstance(first, Transformer)
        first.model = transformer(len(first.tokenizer))
        found[kind] = tmp_path_factory.mktemp(kind)
        SentenceTransformer(modules=[first, Pooling(32), Normalize()], device="cpu").save(str(found[kind]))
    return found


def torch_model(folder: Path, **settings: object) -> TorchModel:
    return TorchModel(EmbeddingSettings.model_validate({"model": "tiny", "path": folder, "threads": 1, **settings}))


OPENVINO = "openvino on "


@pytest.fixture(
    params=["fake", *KINDS, *(pytest.param(OPENVINO + kind, marks=pytest.mark.needs_openvino) for kind in KINDS)]
)
def model(request: pytest.FixtureRequest, folders: dict[str, Path]) -> EmbeddingModel:
    kind: str = request.param
    if kind == "fake":
        return FakeModel()
    if kind.startswith(OPENVINO):
        # Converted for the first test, beside the model.
        folder = folders[kind.removeprefix(OPENVINO)]
        content = {"model": "tiny", "path": folder, "threads": 1, "backend": "openvino"}
        return OpenVinoModel(EmbeddingSettings.model_validate(content))
    return torch_model(folders[kind])


def test_its_shape_is_what_it_gives(model: EmbeddingModel) -> None:
    shape = model.load()
    (empty, long) = model.tokens(["", "word " * 300])
    assert len(empty) == 0
    assert len(long) >= 300, "nothing is cut"
    vectors = model.embed([long[: shape.max_tokens], empty])
    assert vectors.shape == (2, shape.dimensions)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()


def test_a_vector_does_not_depend_on_its_neighbours(model: EmbeddingModel) -> None:
    shape = model.load()
    batch = [tokens[: shape.max_tokens] for tokens in model.tokens(TEXTS)]
    together = model.embed(batch)
    for tokens, vector in zip(batch, together, strict=True):
        assert np.allclose(model.embed([tokens])[0], vector, atol=1e-5)


@pytest.mark.parametrize("kind", [*KINDS, "bart"])
def test_it_gives_what_encode_gives(kind: str, folders: dict[str, Path]) -> None:
    ours = torch_model(folders[kind])
    shape = ours.load()
    assert shape == ModelShape(dimensions=32, max_tokens=62, special_tokens=2, padded=not ours.is_packed)
    found = ours.embed([tokens[: shape.max_tokens] for tokens in ours.tokens(TEXTS)])
    theirs = SentenceTransformer(str(folders[kind]), device="cpu").encode(TEXTS, show_progress_bar=False)
    assert np.allclose(found, theirs, atol=1e-5)


PROMPTS: list[tuple[dict[str, str | None], str | None]] = [
    ({"query": "find ", "document": "title none "}, None),
    ({"query": "find ", "document": "title none "}, "query"),
    ({"query": "find ", "passage": "a passage "}, None),
    ({"corpus": "a corpus ", "query": None}, None),
    ({"own": "my own "}, "own"),
    ({"document": "word " * 12}, None),
]
BACKENDS = ["torch", pytest.param("openvino", marks=pytest.mark.needs_openvino)]


def prompted(folder: Path, copy: Path, prompts: dict[str, str | None], default: str | None = None) -> Path:
    """Copy a model, and let it declare prompts."""
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("openvino"))
    rewrite(copy / "config_sentence_transformers.json", prompts=prompts, default_prompt_name=default)
    return copy


def behind_the_port(folder: Path, backend: str = "torch") -> LocalEmbedder:
    settings = EmbeddingSettings.model_validate({"model": "m", "path": folder, "threads": 1, "backend": backend})
    return LocalEmbedder(OpenVinoModel(settings) if backend == "openvino" else TorchModel(settings), settings)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("prompts", "default"), PROMPTS)
async def test_documents_and_questions_get_the_prompts_that_the_library_gives_them(
    backend: str, prompts: dict[str, str | None], default: str | None, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = prompted(folders["bert"], tmp_path / "bert", prompts, default)
    ours, theirs = behind_the_port(folder, backend), SentenceTransformer(str(folder), device="cpu")
    await ours.start()
    documents = theirs.encode_document(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    assert np.allclose(await ours.embed(TEXTS), documents, atol=1e-5)
    for text in TEXTS:
        question = theirs.encode_query(text, normalize_embeddings=True, show_progress_bar=False)
        assert np.allclose(await ours.embed_question(text), question, atol=1e-5)
    plain = theirs.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    assert ours.model == ("m" if np.allclose(plain, documents, atol=1e-5) else "m#document")
    await ours.close()


def test_what_is_told_of_a_converted_model_comes_back_with_its_prompts(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = prompted(folders["bert"], tmp_path / "bert", {"query": "find ", "document": "title none "})
    about = described(SentenceTransformer(str(folder), device="cpu"))
    assert (about.prompts.document, about.prompts.question) == ("title none ", "find ")
    (tmp_path / "about.json").write_text(json.dumps(asdict(about)))
    assert read_about(tmp_path) == about


def leave_prompts_out(folder: Path) -> None:
    rewrite(folder / "1_Pooling" / "config.json", include_prompt=False)


def test_a_prompt_for_documents_that_the_pooling_leaves_out_is_refused(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = prompted(folders["bert"], tmp_path / "bert", {"document": "title none "})
    leave_prompts_out(folder)
    said = "its pooling leaves its prompt for documents out"
    with pytest.raises(ValueError, match=said):
        torch_model(folder).load()
    with pytest.raises(ValueError, match=said):
        described(SentenceTransformer(str(folder), device="cpu"))


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_prompt_for_questions_that_the_pooling_leaves_out_keeps_no_document_from_its_vector(
    backend: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = prompted(folders["bert"], tmp_path / "bert", {"query": "find "})
    leave_prompts_out(folder)
    ours, theirs = behind_the_port(folder, backend), SentenceTransformer(str(folder), device="cpu")
    await ours.start()
    documents = theirs.encode_document(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    assert np.allclose(await ours.embed(TEXTS), documents, atol=1e-5)
    with pytest.raises(OperatorError, match="leaves its prompt for questions out"):
        await ours.embed_question("a few words")
    await ours.close()


def test_a_model_without_special_tokens_is_taken(folders: dict[str, Path], tmp_path: Path) -> None:
    """An empty sequence, which GPT-2 cannot reshape, never comes: a text that is empty gets no vector."""
    folder = shutil.copytree(folders["gpt2"], tmp_path / "gpt2")
    rewrite(folder / "tokenizer.json", post_processor=None)
    names = ["input_ids", "attention_mask"]
    rewrite(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast", model_input_names=names)
    ours = torch_model(folder)
    shape = ours.load()
    assert (shape.special_tokens, shape.max_tokens) == (0, 64)
    texts = [text for text in TEXTS if text]
    found = ours.embed([tokens[: shape.max_tokens] for tokens in ours.tokens(texts)])
    theirs = SentenceTransformer(str(folder), device="cpu").encode(texts, show_progress_bar=False)
    assert np.allclose(found, theirs, atol=1e-5)


@pytest.mark.parametrize("longest", [0, 1, 2])
async def test_a_model_without_room_for_a_text_is_told_at_the_start(
    longest: int, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["bert"], tmp_path / "bert")
    rewrite(folder / "tokenizer_config.json", model_max_length=longest)
    said = rf"max_seq_length is {longest}, and 2 tokens of each sequence are special ones: no text fits in"
    ours = LocalEmbedder(torch_model(folder), EmbeddingSettings())
    with pytest.raises(OperatorError, match=rf"cannot be loaded \({said}\): set embedding\.model"):
        await ours.start()
    await ours.close()
    with pytest.raises(ValueError, match=said):
        described(SentenceTransformer(str(folder), device="cpu"))


def rewrite(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(("kind", "packs"), [("bert", True), ("roberta", True), ("mpnet", False), ("bart", False)])
def test_which_models_are_packed(kind: str, packs: bool, folders: dict[str, Path]) -> None:  # noqa: FBT001
    ours = torch_model(folders[kind])
    ours.load()
    assert ours.is_packed == packs


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
def test_weights_stored_in_half_the_precision_are_computed_in_the_one_that_is_set(
    stored: torch.dtype, folders: dict[str, Path], tmp_path: Path
) -> None:
    SentenceTransformer(str(folders["bert"]), device="cpu").to(stored).save(str(tmp_path))
    ours = torch_model(tmp_path)
    shape = ours.load()
    found = ours.embed([tokens[: shape.max_tokens] for tokens in ours.tokens(TEXTS)])
    whole = SentenceTransformer(str(tmp_path), device="cpu", model_kwargs={"dtype": torch.float32})
    assert np.allclose(found, whole.encode(TEXTS, show_progress_bar=False), atol=1e-5)


def test_half_the_precision_gives_nearly_the_same(folders: dict[str, Path]) -> None:
    """In a process of its own: what the processor may do must be found out before torch computes anything."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract.half_precision", str(folders["bert"]), *TEXTS],
        check=True,
        capture_output=True,
        text=True,
    )
    cosines = [float(word) for word in done.stdout.split()]
    assert len(cosines) == len(TEXTS)
    assert 0.995 < min(cosines) < 0.9999999, "nearly the same, and another precision"
