"""Certificates that must not be believed: the worker refuses to start, in one sentence, and turns no check off."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import NewStage
from tests.faults.stage import Stage
from tests.servers.certificates import Authority

pytestmark = pytest.mark.needs_jvm


@dataclass(frozen=True)
class Kind:
    """A server's certificate, and what the worker must say of it."""

    said: str
    options: dict[str, Any]
    trusted: bool = True


BAD = [
    pytest.param(Kind("expired", {"expired": True}), id="expired"),
    pytest.param(Kind("127.0.0.1", {"address": "DNS:elsewhere.example"}), id="another host's"),
    pytest.param(Kind("certificate", {}, trusted=False), id="another authority's"),
]
GOOD = Kind("", {})


def behind_tls(new_stage: NewStage, folder: Path, server: str, kind: Kind) -> Stage:
    """A stage whose worker comes to one server over TLS, and trusts one authority."""
    trusted = Authority(folder / "trusted")
    authority = trusted if kind.trusted else Authority(folder / "stranger")
    tls = authority.issue("server", **kind.options).server_context()
    if server == "elasticsearch":
        return new_stage(tls=tls, elasticsearch={"ca_file": str(trusted.file)})
    security = {"protocol": "SSL", "ca_file": str(trusted.file)}
    stage = new_stage(tls=tls, through_proxy=True, kafka={"security": security})
    stage.use_elasticsearch_directly()
    return stage


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("server", ["elasticsearch", "kafka"])
def test_a_certificate_that_is_not_to_be_believed_ends_the_start_with_a_sentence(
    new_stage: NewStage, tmp_path: Path, server: str, kind: Kind
) -> None:
    stage = behind_tls(new_stage, tmp_path, server, kind)
    stage.worker.launch()
    assert stage.worker.wait(within_s=30) == 2
    *_, sentence = stage.worker.log.read_text().splitlines()
    print(sentence)  # noqa: T201 - to be read with -rP: is it a good sentence?
    assert sentence.startswith("syncline: ")
    assert server in sentence.lower()
    assert "certificate" in sentence
    assert kind.said in sentence
    assert "Traceback" not in stage.worker.log.read_text()


def test_a_pinned_certificate_is_believed_whatever_it_says_and_no_other(new_stage: NewStage, tmp_path: Path) -> None:
    certificate = Authority(tmp_path).issue("server", address="DNS:elsewhere.example")
    tls = certificate.server_context()
    pinned = new_stage(tls=tls, elasticsearch={"fingerprint": certificate.fingerprint()})
    pinned.worker.start()
    pinned.send_rows(range(5))
    pinned.quiesce()
    another = pinned.add_worker(elasticsearch={"fingerprint": "ab" * 32})
    another.launch()
    assert another.wait(within_s=30) == 2


@pytest.mark.parametrize("server", ["elasticsearch", "kafka"])
def test_a_good_certificate_is_believed(new_stage: NewStage, tmp_path: Path, server: str) -> None:
    stage = behind_tls(new_stage, tmp_path, server, GOOD)
    stage.worker.start()
    stage.send_rows(range(5))
    stage.quiesce()
