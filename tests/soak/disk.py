"""A small disk for one server, and documents that fill it."""

import base64
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.e2e.index import call
from tests.servers import processes
from tests.soak.pages import call_lines

_BLOB_BYTES: Final = 400_000
_AT_ONCE: Final = 8


@contextmanager
def folder_on_disk(size: int | None) -> Iterator[Path]:
    """A folder for a server whose data, in `elasticsearch/data`, is on a disk of `size` bytes; any, if None."""
    folder = Path(tempfile.mkdtemp(prefix="syncline-rig-"))
    folder.chmod(0o755)
    with ExitStack() as closing:
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        if size is not None:
            data = folder / "elasticsearch" / "data"
            data.mkdir(parents=True)
            if os.geteuid() != 0:
                raise SystemExit("a disk of its own for Elasticsearch is a tmpfs, which only root may mount")
            processes.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(data)])
            closing.callback(subprocess.run, ["umount", "--lazy", str(data)], check=False)
        yield folder


def used_percent(url: str) -> float:
    """How full the only node's disk is, of a hundred."""
    (node,) = call("GET", f"{url}/_nodes/stats/fs")["nodes"].values()
    total = node["fs"]["total"]
    return float(100 * (1 - total["available_in_bytes"] / total["total_in_bytes"]))


@contextmanager
def ballast(url: str, percent: float) -> Iterator[None]:
    """While the block runs, the only node's disk is so full: with a file that is not Elasticsearch's."""
    (node,) = call("GET", f"{url}/_nodes/stats/fs")["nodes"].values()
    file = Path(node["fs"]["data"][0]["path"]) / "ballast"
    # Elasticsearch tells what it saw a second ago.
    disk = os.statvfs(file.parent)
    missing = int(disk.f_frsize * (disk.f_bavail - disk.f_blocks * (1 - percent / 100)))
    try:
        with file.open("wb") as opened:
            os.posix_fallocate(opened.fileno(), 0, missing)
        yield
    finally:
        file.unlink(missing_ok=True)


def keep_small(url: str, index: str) -> None:
    """Let neither merges nor the translog take room for a while: what is written is what is used."""
    limits = {"merge.policy.max_merged_segment": "10mb", "translog.flush_threshold_size": "8mb"}
    call("PUT", f"{url}/{index}/_settings", {"index": {**limits, "number_of_replicas": 0}})


def fill(url: str, index: str, percent: float, seed: int) -> None:
    """Write documents that nobody can compress until the disk is so full, or Elasticsearch takes no more."""
    chance = random.Random(seed)
    number, taken = 0, True
    while taken and used_percent(url) < percent:
        lines: list[dict[str, object]] = []
        for _ in range(_AT_ONCE):
            number += 1
            blob = base64.b64encode(chance.randbytes(_BLOB_BYTES)).decode()
            lines.append({"index": {"_id": f"{seed}/{number}", "routing": str(number)}})
            lines.append({"tenant": str(number), "sync": {"log": {"content": blob}}})
        answer = call_lines(f"{url}/{index}/_bulk", lines)
        taken = not answer["errors"]
