"""`apply` and the check at start on a running server: what is created works, what is wrong is one sentence."""

import asyncio
import contextlib
import json
import secrets
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from elasticsearch import ApiError, AsyncElasticsearch, BadRequestError
from elasticsearch import __version__ as client_version

from tests.servers.start import Servers
from worker.adapters.elastic_admin import ElasticAdmin
from worker.adapters.elastic_client import build_client
from worker.control.apply import Report, apply, render
from worker.control.explaining import explained
from worker.control.target import check_target
from worker.errors import OperatorError
from worker.resources import schemas_folder
from worker.settings import ElasticsearchSettings, IndexSettings, Settings
from worker.settings.sources import SourceSettings

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
ARTICLES = schemas_folder() / "index" / "articles.json"
LOOPBACK = "127.0.0.1"


@pytest.fixture
def index() -> IndexSettings:
    """Names that no other test and no earlier run has used."""
    return IndexSettings(alias=f"apply-{secrets.token_hex(6)}")


@pytest.fixture
async def client(servers: Servers, index: IndexSettings) -> AsyncIterator[AsyncElasticsearch]:
    """A client of the test's own; afterwards whatever the names stand for is removed."""
    client = build_client(at(servers.elasticsearch))
    yield client
    await remove(client, index)
    await client.close()


def at(*hosts: str, **others: object) -> ElasticsearchSettings:
    return ElasticsearchSettings.model_validate({"hosts": hosts, **others})


def secured(servers: Servers, **others: object) -> ElasticsearchSettings:
    """The server with security, as its administrator unless `others` say who else."""
    address = urlsplit(servers.elasticsearch_secured)
    owner = {"username": address.username, "password": address.password}
    return at(
        f"{address.scheme}://{address.hostname}:{address.port}", **({} if "api_key" in others else owner), **others
    )


async def remove(client: AsyncElasticsearch, *every: IndexSettings) -> None:
    quiet = client.options(ignore_status=404)
    for index in every:
        await quiet.indices.delete(index=f"{index.reader_alias},{index.first_index}", ignore_unavailable=True)
        await quiet.indices.delete_index_template(name=index.reader_alias)
        await quiet.cluster.delete_component_template(name=f"{index.reader_alias}-index")


async def applied(client: AsyncElasticsearch, index: IndexSettings, *, dry_run: bool = False) -> Report:
    return await apply(ElasticAdmin(client), index, dry_run=dry_run)


async def checked(elasticsearch: ElasticsearchSettings, index: IndexSettings, dimensions: int = 384) -> list[str]:
    source = SourceSettings(name="a", topics=["t"], id=["id"], tenant="tenant", fields={"title": "t"}, embed=["title"])
    settings = Settings(sources=[source], elasticsearch=elasticsearch, index=index)
    admin = ElasticAdmin(build_client(elasticsearch))
    try:
        return await check_target(admin, settings, dimensions, MODEL)
    finally:
        await admin.close()


async def refusal(elasticsearch: ElasticsearchSettings, index: IndexSettings) -> str:
    with pytest.raises(OperatorError) as refused:
        await checked(elasticsearch, index)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def article(**changes: object) -> dict[str, object]:
    return {"tenant": "acme", "title": "Running dogs", "content": "They ran home.", **changes}


async def write(client: AsyncElasticsearch, index: IndexSettings, id_: str, **changes: object) -> None:
    await client.index(index=index.writer_alias, id=id_, routing="acme", refresh=True, document=article(**changes))


async def found(client: AsyncElasticsearch, index: IndexSettings, **match: str) -> list[str]:
    response = await client.search(index=index.reader_alias, query={"match": match})
    return sorted(hit["_id"] for hit in response["hits"]["hits"])


async def test_apply_creates_a_target_that_fits_and_apply_again_changes_nothing(
    servers: Servers, client: AsyncElasticsearch, index: IndexSettings
) -> None:
    first = await applied(client, index)
    assert first.ok
    assert len(first.actions) == 3
    assert await checked(at(servers.elasticsearch), index) == []

    before = await client.indices.get(index=index.first_index)
    again = await applied(client, index)
    assert again.ok
    assert "Nothing to do" in render(again)
    assert (await client.indices.get(index=index.first_index)).body == before.body


async def test_a_dry_run_creates_nothing(client: AsyncElasticsearch, index: IndexSettings) -> None:
    report = await applied(client, index, dry_run=True)
    assert f"would create index {index.first_index}" in render(report)
    assert not await client.indices.exists(index=index.first_index)
    assert not await client.indices.exists_index_template(name=index.reader_alias)


async def test_documents_are_found_by_stem_and_by_their_beginning(
    client: AsyncElasticsearch, index: IndexSettings
) -> None:
    await applied(client, index)
    await write(client, index, "1")
    assert await found(client, index, content="homes") == ["1"]
    assert await found(client, index, title="run") == ["1"]
    assert await found(client, index, **{"title.autocomplete": "runn"}) == ["1"]
    # The words asked for are not cut up themselves: "runway" shares a beginning, and must not match.
    assert await found(client, index, **{"title.autocomplete": "runway"}) == []
    assert await found(client, index, **{"title.keyword": "Running dogs"}) == ["1"]


async def test_readers_never_see_a_tombstone(client: AsyncElasticsearch, index: IndexSettings) -> None:
    await applied(client, index)
    await write(client, index, "1", sync={"deleted": False, "version": 2, "source_ts": 1_700_000_000_000})
    await write(client, index, "2", sync={"deleted": True, "version": 3, "deleted_at": "2026-01-01T00:00:00Z"})
    assert await found(client, index, tenant="acme") == ["1"]
    assert (await client.count(index=index.writer_alias))["count"] == 2


@pytest.mark.parametrize("unknown", [{"surprise": 1}, {"sync": {"surprise": 1}}])
async def test_unknown_fields_are_refused(
    client: AsyncElasticsearch, index: IndexSettings, unknown: dict[str, object]
) -> None:
    await applied(client, index)
    with pytest.raises(BadRequestError, match="strict_dynamic_mapping_exception"):
        await write(client, index, "1", **unknown)


async def test_a_document_without_routing_is_refused(client: AsyncElasticsearch, index: IndexSettings) -> None:
    await applied(client, index)
    with pytest.raises(BadRequestError, match="routing_missing_exception"):
        await client.index(index=index.writer_alias, id="1", document=article())


async def test_the_reader_alias_cannot_be_written_to(client: AsyncElasticsearch, index: IndexSettings) -> None:
    await applied(client, index)
    with pytest.raises(BadRequestError, match="no write index is defined"):
        await client.index(index=index.reader_alias, id="1", routing="acme", document=article())


async def test_a_later_generation_gets_the_body_from_the_template(
    client: AsyncElasticsearch, index: IndexSettings
) -> None:
    await applied(client, index)
    later = index.first_index.replace("v000001", "v000002")
    await client.indices.create(index=later)
    try:
        body = (await client.indices.get(index=later))[later]
        first = (await client.indices.get(index=index.first_index))[index.first_index]
        assert body["mappings"] == first["mappings"]
        assert body["settings"]["index"]["analysis"] == first["settings"]["index"]["analysis"]
        assert body["aliases"] == {}
        assert (await applied(client, index)).ok
    finally:
        await client.indices.delete(index=later)


async def test_a_difference_stops_before_anything_is_done(
    client: AsyncElasticsearch, index: IndexSettings, tmp_path: Path
) -> None:
    await applied(client, index)
    changed = json.loads(ARTICLES.read_text())
    changed["mappings"]["properties"]["author"] = {"type": "keyword"}
    changed["settings"]["number_of_shards"] = 4
    definition = tmp_path / "changed.json"
    definition.write_text(json.dumps(changed))
    before = (await client.cluster.get_component_template(name=f"{index.reader_alias}-index")).body

    report = await applied(client, index.model_copy(update={"definition": str(definition)}))

    assert not report.ok
    assert report.actions == ()
    assert [difference.where for difference in report.differences] == [
        f"{index.first_index} settings.index.number_of_shards",
        f"{index.first_index} mappings.properties.author",
    ]
    assert (await client.cluster.get_component_template(name=f"{index.reader_alias}-index")).body == before


async def test_an_earlier_index_that_is_tuned_gets_its_fields_and_keeps_its_tuning(
    client: AsyncElasticsearch, index: IndexSettings, tmp_path: Path
) -> None:
    earlier = json.loads(ARTICLES.read_text())
    for name in ("log", "deleted_at"):
        del earlier["mappings"]["properties"]["sync"]["properties"][name]
    definition = tmp_path / "earlier.json"
    definition.write_text(json.dumps(earlier))
    await applied(client, index.model_copy(update={"definition": str(definition)}))
    await client.indices.put_settings(index=index.first_index, settings={"index": {"refresh_interval": "30s"}})

    report = await applied(client, index)

    assert report.ok
    assert "sync.deleted_at, sync.log" in " ".join(render(report).split())
    assert [(one.wanted, one.found) for one in report.tuned] == [("1s", "30s")]
    body = (await client.indices.get(index=index.first_index))[index.first_index]
    assert body["settings"]["index"]["refresh_interval"] == "30s"
    assert {"log", "deleted_at"} <= set(body["mappings"]["properties"]["sync"]["properties"])


async def test_an_index_that_grew_out_of_a_missing_alias_is_reported(
    servers: Servers, client: AsyncElasticsearch, index: IndexSettings
) -> None:
    """What happens where somebody writes to the name before `apply` has run."""
    await client.index(index=index.reader_alias, document={"title": "x"})
    report = await applied(client, index)
    assert [(d.where, d.found) for d in report.differences] == [(index.reader_alias, "an index of that name")]
    assert not await client.indices.exists(index=index.first_index)
    assert "does not exist: create it with 'syncline apply'" in await refusal(at(servers.elasticsearch), index)


@pytest.mark.parametrize("kin", [{"environment": "staging"}, {"alias_suffix": "-v0"}, {"alias_suffix": "-v2"}])
async def test_indices_of_related_names_do_not_mix(
    client: AsyncElasticsearch, index: IndexSettings, kin: dict[str, str]
) -> None:
    suffix = kin.get("alias_suffix", "")
    related = IndexSettings(alias=f"{index.alias}{suffix}", environment=kin.get("environment"))
    try:
        for one in (related, index, related, index):
            assert (await applied(client, one)).ok
        for one in (related, index):
            state = (await client.indices.get(index=one.reader_alias)).body
            assert list(state) == [one.first_index]
    finally:
        await remove(client, related)


async def test_another_model_size_names_both_numbers(
    servers: Servers, client: AsyncElasticsearch, index: IndexSettings
) -> None:
    await applied(client, index)
    with pytest.raises(OperatorError, match="vectors of 384 dimensions and the model makes 768"):
        await checked(at(servers.elasticsearch), index, dimensions=768)


async def test_nobody_listening_is_one_sentence(index: IndexSettings) -> None:
    async with listening(lambda _reader, writer: writer.close()) as port:
        pass
    sentence = await refusal(at(f"http://{LOOPBACK}:{port}"), index)
    assert f"{LOOPBACK}:{port}" in sentence
    assert "check elasticsearch.hosts" in sentence


async def test_a_kafka_port_is_one_sentence(servers: Servers, index: IndexSettings) -> None:
    sentence = await refusal(at(f"http://{servers.kafka}"), index)
    assert servers.kafka in sentence
    assert "elasticsearch.hosts" in sentence


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
async def test_another_web_server_is_one_sentence(index: IndexSettings, status: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + b"{}")
        await writer.drain()
        writer.close()

    async with listening(answer) as port:
        sentence = await refusal(at(f"http://{LOOPBACK}:{port}"), index)
    assert "not Elasticsearch" in sentence
    assert "elasticsearch.hosts" in sentence


async def test_tls_to_a_plain_port_is_one_sentence(servers: Servers, index: IndexSettings) -> None:
    sentence = await refusal(at(servers.elasticsearch.replace("http://", "https://")), index)
    # Some servers answer in plain text and fail the handshake, some just close.
    assert "https or http in elasticsearch.hosts" in sentence or "elasticsearch.hosts, http or https" in sentence


async def test_a_certificate_of_another_authority_is_one_sentence(index: IndexSettings, tmp_path: Path) -> None:
    theirs, ours = self_signed(tmp_path, "theirs"), self_signed(tmp_path, "ours")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(theirs, theirs.with_suffix(".key"))
    async with listening(lambda _reader, writer: writer.close(), context) as port:
        sentence = await refusal(at(f"https://{LOOPBACK}:{port}", ca_file=ours), index)
    assert f"{LOOPBACK}:{port}" in sentence
    assert "elasticsearch.ca_file" in sentence


@pytest.mark.needs_jvm
async def test_a_wrong_password_is_one_sentence(servers: Servers, index: IndexSettings) -> None:
    elasticsearch = secured(servers)
    async with owner_of(elasticsearch):
        pass
    sentence = await refusal(at(*elasticsearch.urls, username="elastic", password="wrong"), index)
    assert elasticsearch.urls[0] in sentence
    assert "check elasticsearch.username and elasticsearch.password" in sentence


@pytest.mark.needs_jvm
async def test_the_check_needs_no_more_than_to_view_the_alias(servers: Servers, index: IndexSettings) -> None:
    owner = secured(servers)
    async with owner_of(owner) as client:
        with explained(owner):
            assert (await applied(client, index)).ok
        may = await key_for(client, index.writer_alias, "view_index_metadata")
        assert await checked(secured(servers, api_key=may), index) == []

        may_not = await key_for(client, index.writer_alias, "index")
        sentence = await refusal(secured(servers, api_key=may_not), index)
        assert "the privileges do not suffice; grant them to the owner of elasticsearch.api_key" in sentence

        elsewhere = await key_for(client, "elsewhere", "view_index_metadata")
        assert index.writer_alias in await refusal(secured(servers, api_key=elsewhere), index)
        await remove(client, index)


@pytest.mark.needs_jvm
async def test_an_index_with_the_aliases_name_leaves_nothing_half_done(
    client: AsyncElasticsearch, index: IndexSettings
) -> None:
    """Between the plan and its execution somebody takes the alias's name: the index must not come without its alias."""
    admin = ElasticAdmin(client)
    create = (await applied(client, index, dry_run=True)).actions[-1]
    await client.indices.create(index=index.reader_alias)
    with pytest.raises(OperatorError, match="invalid_alias_name_exception"):
        await admin.create_index(create.name, create.definition, create.aliases)  # type: ignore[union-attr]
    assert not await client.indices.exists(index=index.first_index)


@pytest.mark.needs_jvm
async def test_the_oldest_server_works_with_its_client_and_explains_itself_to_a_newer_one(
    servers: Servers, index: IndexSettings
) -> None:
    elasticsearch = at(servers.elasticsearch_8)
    client = build_client(elasticsearch)
    try:
        if client_version[0] > 8:
            assert "install 'elasticsearch[async]>=8.19,<9'" in await refusal(elasticsearch, index)
        else:
            assert (await applied(client, index)).ok
            assert "Nothing to do" in render(await applied(client, index))
            assert await checked(elasticsearch, index) == []
            await remove(client, index)
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def owner_of(elasticsearch: ElasticsearchSettings) -> AsyncIterator[AsyncElasticsearch]:
    """A client that may do everything. A server that has just started answers 503 until its users are loaded."""
    async with build_client(elasticsearch) as client, asyncio.timeout(60):
        while True:
            try:
                await client.security.authenticate()
                break
            except ApiError as error:
                if error.meta.status != 503:
                    raise
            await asyncio.sleep(0.1)
        yield client


async def key_for(client: AsyncElasticsearch, name: str, *privileges: str) -> str:
    """An API key that may do this much and no more."""
    role = {"worker": {"cluster": [], "indices": [{"names": [name], "privileges": list(privileges)}]}}
    key = await client.security.create_api_key(name=secrets.token_hex(6), role_descriptors=role)
    return str(key["encoded"])


@contextlib.asynccontextmanager
async def listening(answer: object, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on a free port of the loopback interface."""
    server = await asyncio.start_server(answer, LOOPBACK, 0, ssl=tls)  # type: ignore[arg-type]
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def self_signed(folder: Path, name: str) -> Path:
    """A certificate that is its own authority; its key lies beside it."""
    openssl = shutil.which("openssl")
    assert openssl is not None, "these tests make their certificates with openssl: install it"
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    request = f"req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN={LOOPBACK} -addext subjectAltName=IP:{LOOPBACK}"
    subprocess.run(
        [openssl, *request.split(), "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    return certificate
