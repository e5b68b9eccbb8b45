"""A server on each of the databases, with nothing in it but what the tests of the search say."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import FOLDER, TEST_DATABASE_URL, fake
from tests.fakes.client import Client, Json
from tests.fakes.database import Databases
from tests.fakes.postgres import postgres
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll

SAID = {
    "Metals": ["Is <b>zinc</b> & tin an alloy?"],
    "Everything": ["Le Café de l'Été, 我喜欢编程和音乐 and 東京都庁へ行きました; foo_bar2 हिन्दी 안녕하세요 ŁÓDŹ"],
    "Orchids at home": [],
    "walruses": ["walrus"],
    "another": ["walrus"],
    "birds": ["heron"],
    "more birds": ["pelican"],
    "mine": ["a secret badger"],
    "lynx": ["a lynx"],
    "cats": ["a lynx"],
    "rivers": ["otter " + "and much else " * 30, "otter, otter and otter"],
    "seas": ["puffin number 1", "puffin number 2"],
}


@pytest.fixture(scope="package", params=["sqlite", "postgres"])
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Databases of either kind."""
    with ExitStack() as stack:
        url = ""
        if request.param == "postgres":
            url = TEST_DATABASE_URL or stack.enter_context(postgres())
        databases = Databases(FOLDER, url)
        yield databases
        databases.drop()


@pytest.fixture(scope="package")
def own_server(either: Databases, _provider: Provider) -> Iterator[Server]:
    with Server(either.new(), either.keys, **fake(_provider)) as server:
        yield server


@pytest.fixture(scope="package")
def said(own_server: Server) -> dict[str, str]:
    """What Alice has said, all of it indexed: a name for each of her conversations, and their ids."""
    alice = own_server.client("alice")
    ids = {name: told(alice, *contents, title=name) for name, contents in SAID.items()}
    wait_indexed(own_server)
    return ids


@pytest.fixture
def alice(own_server: Server, said: dict[str, str], provider: Provider) -> Client:
    return own_server.client("alice")


def search(client: Client, q: str, **parameters: object) -> list[Json]:
    response = client.get("/api/conversations/search", params={"q": q, **parameters})
    assert response.status_code == 200, response.text
    return list(response.json()["items"])


def wait_indexed(server: Server) -> None:
    poll(lambda: server.db.count("conversations_searchqueue") == 0, what="indexing")


def told(client: Client, *contents: str, title: str = "-") -> str:
    """A new conversation with these turns; its id."""
    conversation = str(client.conversation(title=title)["id"])
    for content in contents:
        assert client.say(conversation, content).status_code == 200
    return conversation
