"""Programs that the tests run beside themselves, with this checkout's code and a cache of compiled modules."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.servers.jvm import artifacts

ROOT: Final = Path(__file__).parents[2]


def environment() -> dict[str, str]:
    """What a program gets on top of our own environment."""
    return {
        "PYTHONPATH": str(ROOT),
        # torch and its companions are thousands of modules: where an installer did not compile them, and nothing may
        # be written beside them, every start would take 20 s instead of 10.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(artifacts.cache_folder() / "pycache"),
        "HF_HUB_OFFLINE": "1",
    }


def syncline(*arguments: str, config: Path) -> str:
    """Run one command as its user does, and return what it printed."""
    return _output([sys.executable, "-m", "worker", *arguments, "--config", str(config)])


def encoded(model: Path, texts: Sequence[str]) -> list[list[float]]:
    """What `SentenceTransformer.encode` makes of the texts, without any code of the worker."""
    vectors: list[list[float]] = json.loads(
        _output([sys.executable, "-m", "tests.e2e.encode", str(model)], json.dumps(list(texts)))
    )
    return vectors


def tiny_model(dimensions: int = 384) -> Path:
    """A model with random weights, which embeds in no time; made once."""
    script = Path(__file__).with_name("make_tiny_model.py")

    def build(folder: Path) -> None:
        _output([sys.executable, "-m", "tests.e2e.make_tiny_model", str(folder), str(dimensions)])

    return artifacts.prepared(f"tiny-model-{dimensions}-{artifacts._fingerprint(script)}", build)


def _output(command: Sequence[str], stdin: str = "") -> str:
    done = subprocess.run(
        list(command),
        check=False,
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, **environment()},
        timeout=120,
    )
    assert done.returncode == 0, f"{' '.join(command[1:])} ended with {done.returncode}:\n{done.stderr[-2000:]}"
    return done.stdout
