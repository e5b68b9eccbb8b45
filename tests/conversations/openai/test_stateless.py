"""A completion that leaves no rows: it lives as long as it has to, counts, and is held to the limits of its key."""

from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from tests.chatproject.apikeys.issuing import add_key
from tests.conftest import StartServer
from tests.conversations.openai.conftest import sdk_of
from tests.conversations.openai.test_completions import HELLO
from tests.conversations.openai.test_errors import assert_error, complete
from tests.conversations.test_durability import locked
from tests.fakes.client import Client
from tests.fakes.database import is_sqlite
from tests.fakes.fence import fence
from tests.fakes.ingest import Ingest
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll


@pytest.mark.usefixtures("rows")
def test_nobody_takes_it_for_one_that_was_deleted(sdk: openai.OpenAI) -> None:
    """It takes two seconds, in which the worker looks for deleted turns a few times."""
    with sdk.chat.completions.create(model="slow", messages=HELLO, stream=True) as stream:
        *_, last = list(stream)
    assert last.choices[0].finish_reason == "stop"


def test_it_is_in_the_statistics(server: Server, client: Client) -> None:
    def turns() -> int:
        totals = client.get("/api/stats").json()["total"]
        return int(totals["turns"])

    before = turns()
    complete(client)
    assert turns() == before + 1


def test_it_is_held_to_the_limits_of_its_key_and_settled(server: Server, provider: Provider) -> None:
    key = add_key(server.db, concurrent_turns=1, budget_day_usd=1)
    client = server.client_with(key)
    with sdk_of(client) as sdk, sdk.chat.completions.create(model="hang-mid-stream", messages=HELLO, stream=True):
        response = complete(client)
        assert_error(response, 429, "rate_limit_exceeded")
        assert response.headers["Retry-After"] == "1"
    assert "max_tokens" in provider.last.body, "of a budget nothing can be reserved without a bound"

    def unsettled() -> int:
        sql = "SELECT count(*) AS n FROM apikeys_ledgerentry e JOIN apikeys_apikey k ON k.id = e.key_id"
        return int(server.db.query(f"{sql} WHERE k.prefix = ? AND e.settled_at IS NULL", key.split("_")[1])[0]["n"])

    poll(lambda: unsettled() == 0)
    usage = complete(client).json()["usage"]
    entries = server.db.query(
        "SELECT e.tokens FROM apikeys_ledgerentry e JOIN apikeys_apikey k ON k.id = e.key_id WHERE k.prefix = ?"
        " ORDER BY e.turn_id",
        key.split("_")[1],
    )
    assert [entry["tokens"] for entry in entries][-1:] == [usage["total_tokens"]]


def test_a_budget_that_is_used_up_is_no_quota(start_server: StartServer, provider: Provider) -> None:
    environment = {"CHAT_PROVIDERS": "openai", "CHAT_DEFAULT_PROVIDER": "openai", "OPENAI_API_KEY": "openai-secret"}
    server = start_server(OPENAI_BASE_URL=provider.url, OPENAI_MODEL="gpt-4o", **environment)
    client = server.client_with(add_key(server.db, budget_day_usd="0.0001"))
    response = complete(client, model="gpt-4o", max_tokens=100_000)
    error = assert_error(response, 429, "insufficient_quota")
    assert error["type"] == "insufficient_quota"
    assert response.headers["x-should-retry"] == "false"
    assert provider.chats == []


def test_the_stand_in_gets_the_whole_prompt(start_server: StartServer, provider: Provider) -> None:
    """Its budget for history, which holds elsewhere, is smaller."""
    other = {"OTHER_BASE_URL": provider.url, "OTHER_MODEL": "tokens-1", "OTHER_HISTORY_TOKENS": "10"}
    server = start_server(CHAT_PROVIDERS="fake,other", CHAT_FALLBACKS="fake=other", **other)
    messages = [{"role": "user", "content": f"{n} {'word ' * 50}"} for n in range(4)]
    assert complete(server.client(), model="fake/status-500", messages=messages).status_code == 200
    assert provider.last.body["model"] == "tokens-1"
    assert provider.last.messages == messages


@pytest.mark.parametrize("streamed", [False, True], ids=["blocking", "streamed"])
def test_an_answer_that_cannot_be_counted_yet_goes_out_and_is_counted_later(
    start_server: StartServer, provider: Provider, ingest: Ingest, streamed: bool
) -> None:
    """Its client would try again otherwise, and pay for it twice."""
    server = start_server(SENTRY_DSN=ingest.dsn, DATABASE_TIMEOUT="1")
    if not is_sqlite(server.db.url):
        pytest.skip("SQLite's lock")
    client = server.client()
    with ThreadPoolExecutor(1) as others:
        asked = others.submit(complete, client, model="hang", stream=streamed)
        provider.wait()
        with locked(server):
            provider.release()
            response = asked.result(20)
    assert response.status_code == 200, response.text
    assert "hello" in response.text
    poll(lambda: client.get("/api/stats").json()["total"]["turns"] == 1, what="late count")
    assert client.get("/api/stats").json()["total"]["failures"] == 0
    [event] = fence(client, ingest)
    assert event["tags"]["chat.outcome"] == "completed"
    assert len(provider.chats) == 1


def test_an_answer_that_can_never_be_counted_goes_out(start_server: StartServer, ingest: Ingest) -> None:
    """Its row in the statistics is refused: a bug of ours, which must cost nobody an answer."""
    server = start_server(SENTRY_DSN=ingest.dsn)
    if not is_sqlite(server.db.url):
        pytest.skip("SQLite's trigger")
    server.db.query(
        "CREATE TRIGGER no BEFORE INSERT ON conversations_turnstatistics BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    client = server.client()
    assert complete(client).status_code == 200
    [event] = fence(client, ingest)
    assert event["tags"]["chat.outcome"] == "completed"
    assert event["exception"]["values"][-1]["mechanism"]["handled"] is False
