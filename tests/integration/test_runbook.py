"""Every command of the runbook that asks Elasticsearch is answered by a real one."""

import json
import secrets
import shlex
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.e2e.index import call
from tests.repo import runbook
from tests.servers.start import Servers

pytestmark = pytest.mark.needs_jvm
COMMANDS = [
    command.partition(" | ")[0]
    for command in runbook.commands()
    # Those on keys and those that change what is not the test's are executed by `make runbook`.
    if command.startswith(('curl "$ES', "curl -X PUT")) and "/_security/" not in command
]


@pytest.fixture(scope="module")
def alias(servers: Servers) -> Iterator[str]:
    """An index behind a write alias, with a copy that no node can take: so there is a shard to be explained."""
    name = f"runbook-{secrets.token_hex(4)}"
    aliases = {f"{name}-write": {"is_write_index": True}, name: {}}
    settings = {"number_of_replicas": 1, "blocks.write": True}
    call("PUT", f"{servers.elasticsearch}/{name}-v000001", {"settings": settings, "aliases": aliases})
    yield name
    call("DELETE", f"{servers.elasticsearch}/{name}-v000001")


def ask(command: str, url: str, alias: str) -> int:
    """Do what a line with curl does; return the status. What the shell would put in for variables is put in."""
    words = shlex.split(command.replace("$ES", url).replace("$ALIAS", alias))
    (address,) = [word for word in words if word.startswith("http")]
    method = words[words.index("-X") + 1] if "-X" in words else "GET"
    body = words[words.index("-d") + 1].encode() if "-d" in words else None
    if body is not None:
        json.loads(body)
    request = urllib.request.Request(address, body, {"content-type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("command", COMMANDS)
def test_elasticsearch_answers(command: str, servers: Servers, alias: str) -> None:
    assert ask(command, servers.elasticsearch, alias) == 200
