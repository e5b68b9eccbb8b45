"""What a turn asks of the database, through a real server: units of work, and statements in them.

Without BEGIN and COMMIT, without what a new connection sets once, and without what the worker does for all its turns
together, about every second.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.fakes.client import Client

NOT_COUNTED = ("BEGIN", "SET statement_timeout")
OF_THE_WORKER = {"-", "unwanted", "keep_alive", "write", "delete_old", "dead_turn_ids", "sweep_turns", "index_for"}


class Log:
    """What the server has written down since it was cleared."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def clear(self) -> None:
        self.path.write_text("")

    def _lines(self) -> Iterator[tuple[str, str]]:
        for line in self.path.read_text().splitlines():
            unit, _, what = line.partition("\t")
            if unit not in OF_THE_WORKER:
                yield unit, what

    @property
    def units(self) -> list[str]:
        return [unit for unit, what in self._lines() if what == "unit"]

    @property
    def statements(self) -> list[str]:
        return [what for _, what in self._lines() if what != "unit" and not what.startswith(NOT_COUNTED)]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "statements")


@pytest.fixture
def client(start_server: StartServer, log: Log) -> Client:
    log.clear()
    counting = {"DJANGO_SETTINGS_MODULE": "tests.fakes.counting_settings", "STATEMENTS": str(log.path)}
    return start_server(CHAT_KEY_CACHE_SECONDS="60", **counting).client()


def blocking(client: Client, conversation: str) -> None:
    assert client.say(conversation, "hello").status_code == 200


def streamed(client: Client, conversation: str) -> None:
    assert client.events(conversation, "hello")[-1].name == "message.completed"


@pytest.mark.parametrize("turn", [blocking, streamed])
def test_an_ordinary_turn(client: Client, log: Log, turn: Callable[[Client, str], None]) -> None:
    conversation = client.conversation()["id"]
    turn(client, conversation)
    log.clear()
    turn(client, conversation)
    assert log.units == ["start_turn", "finish_turn"], "the key is known for a moment"
    assert len(log.statements) < 8, "\n".join(log.statements)


def test_a_turn_that_begins_a_conversation(client: Client, log: Log) -> None:
    client.post("/api/chat", json={"message": "hello"})
    log.clear()
    assert client.post("/api/chat", json={"message": "hello"}).status_code == 200
    assert log.units == ["start_turn", "finish_turn"]
    assert len(log.statements) < 8, "\n".join(log.statements)
