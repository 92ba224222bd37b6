"""Puts the model of the image into a folder: `fetch_model.py FOLDER NAME REVISION`. Leaves alone one that is there.

Run by the Dockerfile; needs the network only where the folder holds no model.
"""

import sys
from pathlib import Path

# The same weights in other forms, which the worker does not read.
_OTHER_FORMS = ["onnx/*", "openvino/*", "*.h5", "*.ot", "*.msgpack", "*.onnx", "*.gguf"]


def main() -> None:
    """Fetch, or find it there; end with a sentence where there is none."""
    folder, name, revision = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    if not revision:
        sys.exit("MODEL_REVISION is empty: give the model's commit; it becomes part of every document's sync.model")
    if not _holds_model(folder):
        from huggingface_hub import snapshot_download  # noqa: PLC0415 - not needed where the folder has it

        snapshot_download(name, revision=revision, local_dir=folder, ignore_patterns=_OTHER_FORMS)
    if not _holds_model(folder):
        sys.exit(f"{name} holds neither modules.json nor config.json: it is no sentence-transformers model")
    if any(folder.rglob("*.safetensors")):
        for duplicate in folder.rglob("pytorch_model*.bin"):
            duplicate.unlink()


def _holds_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("modules.json", "config.json"))


if __name__ == "__main__":
    main()
