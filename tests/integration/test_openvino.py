"""OpenVINO with a tiny model: converted once, kept, measured, refused with a sentence."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.make_tiny_model import DIMENSIONS, make
from worker.adapters import openvino_cache
from worker.adapters.local_embedder import LocalEmbedder
from worker.adapters.openvino_conversion import Order, calibration_texts, convert, quality_texts
from worker.adapters.openvino_model import OpenVinoModel
from worker.adapters.torch_model import TorchModel
from worker.errors import OperatorError
from worker.settings import EmbeddingSettings

needs_openvino = pytest.mark.needs_openvino
TEXTS = ["The runner waits until a place is free.", "soup", "", "x", "words of many letters " * 4]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "model"
    make(folder)
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is converted once is read by all tests."""
    return tmp_path_factory.mktemp("converted")


def settings(model: Path, precision: str = "fp32", **openvino: Any) -> EmbeddingSettings:  # noqa: ANN401
    content = {"model": "tiny", "path": model, "backend": "openvino", "precision": precision, "openvino": openvino}
    return EmbeddingSettings.model_validate(content)


def vectors(model: Any, texts: Sequence[str]) -> np.ndarray[Any, Any]:  # noqa: ANN401
    found = model.embed(model.tokens(texts))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


@needs_openvino
@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.99999), ("int8", 0.95)])
def test_the_vectors_are_those_of_torch_and_nobody_is_told(
    tiny: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str, least: float
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    theirs = TorchModel(EmbeddingSettings(model="tiny", path=tiny))
    ours = OpenVinoModel(settings(tiny, precision, cache_dir=cache, quality_floor=least))
    assert ours.load() == replace(theirs.load(), padded=True)
    assert ours.tokens(TEXTS) == theirs.tokens(TEXTS)
    expected, found = vectors(theirs, TEXTS), vectors(ours, TEXTS)
    assert found.shape == (len(TEXTS), DIMENSIONS)
    assert (found * expected).sum(axis=1).mean() > least
    assert not (tmp_path / "intel").exists(), "OpenVINO's note of what it has reported"


@needs_openvino
def test_it_is_converted_once_and_read_from_then_on(tiny: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    OpenVinoModel(settings(tiny, cache_dir=cache)).load()
    before = sorted(cache.rglob("*"))
    monkeypatch.setattr(openvino_cache, "_convert", lambda *_: pytest.fail("converted again"))
    OpenVinoModel(settings(tiny, cache_dir=cache)).load()
    assert sorted(cache.rglob("*")) == before
    assert not [path for path in before if path.name.startswith(".")], "nothing half done is left"


@needs_openvino
def test_quality_below_the_floor_is_refused(tiny: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    OpenVinoModel(settings(tiny, cache_dir=cache)).load()
    worse = next(path for path in cache.iterdir() if path.name.startswith("fp32")) / "reference.npy"
    kept = np.load(worse)
    noise = np.random.default_rng(1).standard_normal(kept.shape).astype(np.float32)
    monkeypatch.setattr(np, "load", lambda _: noise / np.linalg.norm(noise, axis=1, keepdims=True))
    with pytest.raises(OperatorError, match=r"below the floor of 0\.999: set another precision"):
        OpenVinoModel(settings(tiny, cache_dir=cache)).load()


@needs_openvino
async def test_behind_the_port_it_is_an_embedder(tiny: Path, cache: Path) -> None:
    chosen = settings(tiny, cache_dir=cache)
    embedder = LocalEmbedder(OpenVinoModel(chosen), chosen)
    await embedder.start()
    found = await embedder.embed([*TEXTS, "long " * 5000])
    assert found.shape == (len(TEXTS) + 1, DIMENSIONS)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    await embedder.close()


@pytest.fixture
def converting(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where conversions go to, which only leave the file that is written last."""
    folders: list[Path] = []

    def fake(_settings: EmbeddingSettings, _model: Path, folder: Path, _threads: int) -> None:
        folders.append(folder)
        (folder / "about.json").write_text("{}")

    monkeypatch.setattr(openvino_cache, "_convert", fake)
    return folders


def test_what_would_change_the_result_is_converted_anew(tiny: Path, tmp_path: Path, converting: list[Path]) -> None:
    own = tmp_path / "own.txt"
    own.write_text("a text\n")
    other = tmp_path / "other"
    shutil.copytree(tiny, other)
    (other / "config.json").write_text("{}")

    def place(model: Path = tiny, precision: str = "fp32", version: str = "1", **more: object) -> Path:
        return openvino_cache.converted(settings(model, precision, cache_dir=tmp_path / "c", **more), model, version, 1)

    first = place()
    assert place() == first
    assert place(precision="bf16") == first, "computed from the same graph"
    different = {first, place(precision="int8"), place(precision="int8", calibration_file=own), place(version="2")}
    different.add(place(other))
    assert len(different) == len(converting) == 5
    own.write_text("another text\n")
    assert place(precision="int8", calibration_file=own) not in different


def test_a_conversion_that_was_cut_off_is_done_again(tiny: Path, tmp_path: Path, converting: list[Path]) -> None:
    chosen = settings(tiny, cache_dir=tmp_path)
    folder = openvino_cache.converted(chosen, tiny, "1", 1)
    (folder / "about.json").unlink()
    assert openvino_cache.converted(chosen, tiny, "1", 1) == folder
    assert (folder / "about.json").is_file()
    assert len(converting) == 2


@pytest.mark.parametrize("where", ["openvino", "kept", "kept/below", ".", ".."])
def test_what_was_converted_before_changes_nothing(
    tiny: Path, tmp_path: Path, converting: list[Path], where: str
) -> None:
    """Its own folder may lie inside the model's, and what is there is no part of the model."""
    model = tmp_path / "all" / "model"
    shutil.copytree(tiny, model, ignore=shutil.ignore_patterns("openvino"))
    chosen = settings(model, cache_dir=model / where)
    (model / where).mkdir(parents=True, exist_ok=True)
    (model / where / ".new-left").mkdir()
    (model / where / ".new-left" / "about.json").write_text("{}")
    assert len({openvino_cache.converted(chosen, model, "1", 1) for _ in range(4)}) == len(converting) == 1
    (model / "config.json").write_text("{}")
    openvino_cache.converted(chosen, model, "1", 1)
    assert len(converting) == 2, "another model"


def test_a_folder_inside_the_models_is_known_through_a_link_as_well(
    tiny: Path, tmp_path: Path, converting: list[Path]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny, model, ignore=shutil.ignore_patterns("openvino"))
    (tmp_path / "link").symlink_to(model)
    chosen = settings(tmp_path / "link", cache_dir=model / "kept")
    for _ in range(3):
        openvino_cache.converted(chosen, tmp_path / "link", "1", 1)
    assert len(converting) == 1


def test_what_a_conversion_has_left_that_was_ended_is_removed_at_a_later_start(
    tiny: Path, tmp_path: Path, converting: list[Path]
) -> None:
    """Also where nothing is to be converted any more: the worker that came next has done that at once."""
    openvino_cache.converted(settings(tiny, cache_dir=tmp_path), tiny, "1", 1)
    old, young = tmp_path / ".new-old", tmp_path / ".new-young"
    for folder in (old, young):
        (folder / "made").mkdir(parents=True)
    before = time.time() - 3700
    os.utime(old, (before, before))
    openvino_cache.converted(settings(tiny, cache_dir=tmp_path), tiny, "1", 1)
    assert len(converting) == 1
    assert not old.exists()
    assert young.exists(), "another worker may be at work there"


ORDERING = """
import sys
from pathlib import Path
from worker.adapters import openvino_cache
from worker.settings import EmbeddingSettings
model = Path(sys.argv[1])
chosen = {"path": model, "backend": "openvino", "openvino": {"cache_dir": model / "kept"}}
openvino_cache.converted(EmbeddingSettings.model_validate(chosen), model, "1", 1)
"""
NEVER_READY = """
import os, time
from pathlib import Path
Path(os.environ["STARTED"] + ".new").write_text(str(os.getpid()))
os.rename(os.environ["STARTED"] + ".new", os.environ["STARTED"])
time.sleep(300)
"""


def test_a_conversion_ends_with_the_worker_that_has_ordered_it(tmp_path: Path) -> None:
    """Even if that one is killed: it has no time to end anything then."""
    (tmp_path / "openvino.py").write_text(NEVER_READY)
    path = os.pathsep.join([str(tmp_path), str(Path(openvino_cache.__file__).parents[2])])
    started = tmp_path / "started"
    with subprocess.Popen(
        [sys.executable, "-c", ORDERING, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path, "STARTED": str(started)},
    ) as worker:
        waited_for(started.exists)
        worker.kill()
    conversion = int(started.read_text())
    waited_for(lambda: not is_running(conversion))


def waited_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, "it never came about"
        time.sleep(0.02)


def is_running(process: int) -> bool:
    """Whether it does anything; one that nobody has asked for its exit code does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_a_folder_that_cannot_be_written_to_is_a_sentence(tiny: Path, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(OperatorError, match=r"embedding\.openvino\.cache_dir: .* set it to a folder"):
        openvino_cache.converted(settings(tiny, cache_dir=in_the_way / "below"), tiny, "1", 1)
    missing = settings(tiny, "int8", cache_dir=tmp_path, calibration_file=tmp_path / "missing")
    with pytest.raises(OperatorError, match=r"embedding\.openvino\.calibration_file: cannot read"):
        openvino_cache.converted(missing, tiny, "1", 1)


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "there is no text in"), (b"\n \n", "no text in"), (b"Gr\xf6\xdfe\n", "not UTF-8 text")]
)
def test_a_calibration_file_without_texts_is_a_sentence_on_it(
    content: bytes, said: str, tiny: Path, tmp_path: Path, converting: list[Path]
) -> None:
    own = tmp_path / "own.txt"
    own.write_bytes(content)
    with pytest.raises(OperatorError, match=rf"embedding\.openvino\.calibration_file: .*{said}"):
        openvino_cache.converted(settings(tiny, "int8", cache_dir=tmp_path, calibration_file=own), tiny, "1", 1)
    assert not converting


def test_without_openvino_the_remedy_is_told(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(OperatorError, match=r"pip install 'syncline\[openvino\]'"):
        OpenVinoModel(settings(tiny)).load()


@needs_openvino
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: rewrite(folder / "1_Pooling" / "config.json", pooling_mode="max"), "its pooling is max"),
        (lambda folder: rewrite(folder / "tokenizer_config.json", model_max_length=2), "no text fits in"),
    ],
    ids=["pooling", "room"],
)
def test_a_model_that_is_not_converted_is_told_why(
    tiny: Path, tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder, ignore=shutil.ignore_patterns("openvino"))
    spoil(folder)
    order = Order(str(folder), str(tmp_path), quantised=False, calibration=None, threads=1)
    with pytest.raises(ValueError, match=said):
        convert(order)


def rewrite(file: Path, **changes: object) -> None:
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, **changes}))


def test_a_conversion_that_fails_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.sh"
    broken.write_text("#!/bin/sh\necho 'a traceback' >&2\necho 'no space left' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(OperatorError) as caught:
        openvino_cache.converted(settings(tmp_path, cache_dir=tmp_path / "c"), tmp_path, "1", 1)
    assert "cannot be converted for openvino (no space left): set backend to torch" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "c").iterdir())


def test_the_texts_that_come_along_measure_and_calibrate_apart(tmp_path: Path) -> None:
    calibrating, measuring = calibration_texts(None), quality_texts()
    assert 100 <= len(calibrating) <= 300
    assert len(measuring) >= 25
    assert not set(calibrating) & set(measuring)
    own = tmp_path / "own.txt"
    own.write_text("one\n\n  two \n", encoding="utf-8")
    assert calibration_texts(str(own)) == ["one", "two"]
