"""How many processors a container leaves to its process."""

import os
from pathlib import Path

import pytest

from worker.adapters.processor import available_processors

HOST = 16


@pytest.fixture(autouse=True)
def many_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(HOST)), raising=False)


def tree(root: Path, groups: str, files: dict[str, str]) -> Path:
    for name, content in {"proc/self/cgroup": groups, **files}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return root


@pytest.mark.parametrize(
    ("limit", "processors"),
    [("200000 100000", 2), ("250000 100000", 2), ("50000 100000", 1), ("max 100000", HOST), ("", HOST), ("1 0", HOST)],
)
def test_the_limit_of_a_container(tmp_path: Path, limit: str, processors: int) -> None:
    root = tree(tmp_path, "0::/\n", {"sys/fs/cgroup/cpu.max": limit})
    assert available_processors(root) == processors


def test_the_tightest_limit_of_a_group_and_those_around_it(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/pods/cpu.max": "300000 100000",
        "sys/fs/cgroup/pods/mine/cpu.max": "max 100000",
        "sys/fs/cgroup/cpu.max": "800000 100000",
    }
    assert available_processors(tree(tmp_path, "0::/pods/mine\n", files)) == 3


@pytest.mark.parametrize(("quota", "processors"), [("400000", 4), ("-1", HOST)])
def test_the_older_control_groups(tmp_path: Path, quota: str, processors: int) -> None:
    folder = "sys/fs/cgroup/cpu,cpuacct"
    files = {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": "100000"}
    groups = "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/\n"
    assert available_processors(tree(tmp_path, groups, files)) == processors


def test_a_group_outside_of_what_is_mounted(tmp_path: Path) -> None:
    root = tree(tmp_path, "0::/../../other\n", {"sys/fs/cgroup/cpu.max": "200000 100000"})
    assert available_processors(root) == 2


def test_where_there_are_no_control_groups(tmp_path: Path) -> None:
    assert available_processors(tmp_path) == HOST


def test_affinity_counts_where_it_is_tighter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3}, raising=False)
    assert available_processors(tree(tmp_path, "0::/\n", {"sys/fs/cgroup/cpu.max": "200000 100000"})) == 1
