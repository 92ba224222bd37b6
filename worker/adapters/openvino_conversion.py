"""A sentence-transformers model to OpenVINO's format: `python -m worker.adapters.openvino_conversion ORDER`.

A program of its own, because it needs torch and some hundred MB that the worker does not need afterwards. It ends when
its standard input does: who has ordered it is gone then. `ORDER` is JSON: see `Order`. What it leaves in the folder:
`model.xml`, `model.bin`, `tokenizer.json`, `about.json`, and `reference.npy`, the vectors of the texts that quality is
measured on, as fp32 torch makes them.
"""

import json
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from typing_extensions import override

from worker.stages.packing import text_tokens
from worker.stages.prompts import Prompts, prompts_of

if TYPE_CHECKING:
    from types import ModuleType

    import torch
    from sentence_transformers import SentenceTransformer

TEXTS: Final = Path(__file__).with_name("openvino_texts.txt")
_HELD_OUT: Final = 4
"""Of our own texts every so many-th measures quality, and the others calibrate."""
_JOINED: Final = (4, 12)
"""So many texts in a row make longer ones: real texts are not all of one sentence."""
_MOST_CALIBRATION_TEXTS: Final = 300
_SUPPORTED_POOLING: Final = frozenset({"mean", "cls"})


@dataclass(frozen=True, slots=True)
class Order:
    """What to convert, and where to."""

    model: str
    folder: str
    quantised: bool
    calibration: str | None
    threads: int


@dataclass(frozen=True, slots=True)
class About:
    """What the converted model needs to be told beside its graph. Tokens are numbers."""

    dimensions: int
    max_tokens: int
    before: list[int]
    after: list[int]
    prompts: Prompts


def read_about(folder: Path) -> About:
    """Return what was told of the model whose conversion is in the folder."""
    told = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    return About(**{**told, "prompts": Prompts(**told["prompts"])})


class UnsupportedModelError(ValueError):
    """The model has a part that is not converted."""


def tell_nobody() -> None:
    """Keep OpenVINO and nncf from reporting to their makers what is converted, which is their default.

    Without the package that does it they go on without. To be called before either is imported.
    """
    sys.modules.setdefault("openvino_telemetry", cast("ModuleType", None))


def read_texts(file: Path) -> list[str]:
    """Return the lines of a file that are not empty."""
    return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def quality_texts() -> list[str]:
    """Return the texts that quality is measured on: single sentences, and a few longer texts."""
    held_out = read_texts(TEXTS)[::_HELD_OUT]
    return [*held_out, *(" ".join(held_out[begin:]) for begin in range(0, len(held_out), 10))]


def calibration_texts(file: str | None) -> list[str]:
    """Return the texts to calibrate with: the operator's, or ours and longer ones made of them."""
    if file is not None:
        return read_texts(Path(file))[:_MOST_CALIBRATION_TEXTS]
    ours = [text for number, text in enumerate(read_texts(TEXTS)) if number % _HELD_OUT]
    longer = [" ".join(ours[begin : begin + count]) for count in _JOINED for begin in range(0, len(ours), 3)]
    return [*ours, *longer][:_MOST_CALIBRATION_TEXTS]


def convert(order: Order) -> None:
    """Convert, and write everything into the folder, which must exist."""
    tell_nobody()
    import openvino  # noqa: PLC0415 - heavy, and optional
    import torch  # noqa: PLC0415
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415

    torch.set_num_threads(order.threads)
    model = SentenceTransformer(
        order.model, device="cpu", model_kwargs={"attn_implementation": "eager", "dtype": torch.float32}
    )
    model.eval()
    about, encoder = described(model), _encoder(model)
    with torch.inference_mode():
        ids, mask = _padded([[*about.before, *about.after, *about.after], [*about.before, *about.after]])
        example = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        converted: Any = openvino.convert_model(encoder, example_input=example)
    if order.quantised:
        converted = _quantised(converted, model, about, calibration_texts(order.calibration))
    folder = Path(order.folder)
    openvino.save_model(converted, folder / "model.xml", compress_to_fp16=False)
    (folder / "tokenizer.json").write_text(model.tokenizer.backend_tokenizer.to_str(), encoding="utf-8")
    reference = model.encode_document(quality_texts(), normalize_embeddings=True, show_progress_bar=False)
    np.save(folder / "reference.npy", np.asarray(reference, dtype=np.float32))
    # Last: who finds it finds the rest.
    (folder / "about.json").write_text(json.dumps(asdict(about)), encoding="utf-8")


def described(model: "SentenceTransformer") -> About:
    """Return what is told of a model beside its graph.

    Raises:
        ValueError: it has a part that is not converted, or takes no text.
    """
    parts = [type(part).__name__ for part in model]
    if parts not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise UnsupportedModelError(f"it is made of {', '.join(parts)}, not of Transformer, Pooling and Normalize")
    if _pooling(model) not in _SUPPORTED_POOLING:
        raise UnsupportedModelError(f"its pooling is {_pooling(model)}, not mean or cls")
    prompts = prompts_of(model.prompts, model.default_prompt_name, model)
    before, after = _special_tokens(model)
    most = text_tokens(model.max_seq_length, len(before) + len(after))
    pooling: Any = model[1]
    return About(pooling.pooling_output_dimension, most, before, after, prompts)


def _pooling(model: "SentenceTransformer") -> str:
    part: Any = model[1]
    mode = getattr(part, "pooling_mode", None) or part.get_pooling_mode_str()
    return mode if isinstance(mode, str) else "+".join(mode)


def _special_tokens(model: "SentenceTransformer") -> tuple[list[int], list[int]]:
    ids = [model.tokenizer(["a"], add_special_tokens=special)["input_ids"][0] for special in (False, True)]
    plain, whole = map(list, ids)
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return whole[:start], whole[start + len(plain) :]
    raise UnsupportedModelError("its tokeniser alters a text where it adds special tokens")


def _encoder(model: "SentenceTransformer") -> "torch.nn.Module":
    import torch  # noqa: PLC0415

    part: Any = model[0]
    transformer = getattr(part, "auto_model", None) or part.model
    takes_first = _pooling(model) == "cls"

    class Encoder(torch.nn.Module):
        """The transformer and its pooling: the vectors of all tokens never leave the graph."""

        def __init__(self) -> None:
            super().__init__()
            self.transformer = transformer

        @override
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            hidden: torch.Tensor = self.transformer(
                input_ids=input_ids, attention_mask=attention_mask, return_dict=False
            )[0]
            if takes_first:
                return hidden[:, 0]
            kept = attention_mask.unsqueeze(-1).to(hidden.dtype)
            return (hidden * kept).sum(1) / kept.sum(1)

    return Encoder().eval()


def _quantised(converted: object, model: "SentenceTransformer", about: About, texts: Sequence[str]) -> object:
    import nncf  # noqa: PLC0415

    special = len(about.before) + len(about.after)
    whole = [about.prompts.document + text for text in texts]
    rows = model.tokenizer(whole, truncation=True, max_length=about.max_tokens + special)["input_ids"]
    items = [dict(zip(("input_ids", "attention_mask"), _padded([row]), strict=True)) for row in rows]
    kind = nncf.ModelType.TRANSFORMER
    return nncf.quantize(converted, nncf.Dataset(items), model_type=kind, subset_size=len(items))


def _padded(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    ids = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    mask = np.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return ids, mask


def _end_with_standard_input() -> None:
    """Wait until nobody holds the other end any more; a raw read, which does not hold up the interpreter's own end."""
    while os.read(0, 1024):
        pass
    os._exit(1)


def main() -> None:
    """Convert as ordered; a mistake ends with one line on standard error."""
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    try:
        convert(Order(**json.loads(sys.argv[1])))
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        sys.exit(str(error).strip().split("\n")[0])


if __name__ == "__main__":
    main()
