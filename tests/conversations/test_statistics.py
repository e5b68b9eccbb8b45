"""What a user's turns were and cost: GET /api/stats, and what it is counted from."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from conversations import statistics, store
from conversations.models import Conversation, Message, Status, TurnStatistics
from conversations.turns import FINAL_FIELDS
from tests.conftest import StartServer
from tests.fakes.client import Client, Json, assert_problem
from tests.fakes.provider import Provider
from tests.fakes.waiting import poll

PATH = "/api/stats"
TODAY = datetime.now(UTC).date()
NONE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost_usd": 0.0}


def stats(client: Client, **parameters: str) -> Json:
    response = client.get(PATH, params=parameters)
    assert response.status_code == 200, response.text
    return dict(response.json())


def test_turns_are_counted_by_how_they_ended(start_server: StartServer, provider: Provider) -> None:
    server = start_server()
    client = server.client()
    conversation = client.conversation()["id"]
    answers = [client.say(conversation, f"number {number}").json() for number in range(3)]
    assert client.say(conversation, "go", model="status-402").status_code != 200
    with client.stream(conversation, "go", model="hang-mid-stream") as stream:
        stream.next("message.created")
        stream.text("three ")
    poll(lambda: client.messages(conversation)[-1]["status"] == "cancelled", what="cancellation")

    told = stats(client, group_by="model")
    by_model = {item["model"]: item for item in told["items"]}
    assert set(by_model) == {"echo-2026", "status-402", "hang-mid-stream-2026"}, "as the messages have it"
    usages = [answer["usage"] for answer in answers]
    echo = by_model["echo-2026"]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert echo[name] == sum(usage[name] for usage in usages) > 0
    assert (echo["turns"], echo["failures"], echo["cancelled"], echo["failure_rate"]) == (3, 0, 0, 0.0)
    assert (echo["day"], echo["provider"]) == (None, None)
    times = sorted(answer["ttft_ms"] for answer in answers)
    assert echo["ttft_ms_p50"] == pytest.approx(times[1], rel=0.06, abs=1)
    assert echo["ttft_ms_p95"] == pytest.approx(times[2], rel=0.06, abs=1)
    failed = by_model["status-402"]
    assert (failed["turns"], failed["failures"], failed["failure_rate"]) == (1, 1, 1.0)
    assert (failed["ttft_ms_p50"], failed["ttft_ms_p95"]) == (None, None)
    assert by_model["hang-mid-stream-2026"]["cancelled"] == 1
    total = told["total"]
    assert (total["turns"], total["failures"], total["cancelled"], total["failure_rate"]) == (5, 1, 1, 0.2)

    [every] = stats(client, group_by="provider,day")["items"]
    assert (every["provider"], every["model"]) == ("fake", None)
    assert date.fromisoformat(every["day"]) - TODAY <= timedelta(days=1)
    assert {name: every[name] for name in total} == total
    assert len(stats(client)["items"]) == 3
    assert stats(client, group_by="")["items"] == []
    nobody = stats(server.client("bob"))
    assert (nobody["total"]["turns"], nobody["items"]) == (0, [])
    assert nobody["total"].items() >= NONE.items()


def test_the_days_are_the_last_30_unless_they_are_named(client: Client) -> None:
    told = stats(client)
    first, last = date.fromisoformat(told["from"]), date.fromisoformat(told["to"])
    assert (last - first).days == 29
    assert stats(client, to="2020-03-01")["from"] == "2020-02-01"
    told = stats(client, **{"from": "2020-01-01", "to": "2020-01-01"})
    assert (told["from"], told["to"], told["total"]["turns"]) == ("2020-01-01", "2020-01-01", 0)


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "2020-01-02", "to": "2020-01-01"}, "from"),
        ({"from": "2019-01-01", "to": "2020-01-02"}, "from"),
        ({"from": "0001-01-01"}, "from"),
        ({"to": "2020-02-30"}, "to"),
        ({"group_by": "user"}, "group_by"),
        ({"group_by": "day,"}, "group_by"),
        ({"group_by": "day,day,day,day"}, "group_by"),
    ],
)
def test_wrong_parameters_are_named(client: Client, parameters: dict[str, str], field: str) -> None:
    assert_problem(client.get(PATH, params=parameters), 422, "invalid_request", field)


@pytest.mark.parametrize(
    "parameters", [{"to": "0001-01-01"}, {"from": "0001-01-01", "to": "0001-01-02"}, {"to": "9999-12-31"}]
)
def test_the_ends_of_the_calendar_are_days_too(client: Client, parameters: dict[str, str]) -> None:
    assert stats(client, **parameters)["total"]["turns"] == 0


def count(owner: User, **values: Any) -> None:
    usual = {
        "provider": "p",
        "model": "m",
        "status": Status.COMPLETED,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cost_usd": Decimal("0.001"),
        "ttft_ms": 300,
    }
    statistics.count(user_id=owner.pk, **{**usual, **values})


def all_of(owner: User, *by: str) -> tuple[statistics.Group, list[statistics.Group]]:
    return statistics.groups(owner, TODAY - timedelta(days=1), TODAY + timedelta(days=1), by)


def test_a_turn_costs_one_statement_and_what_is_not_known_adds_nothing(owner: User) -> None:
    with CaptureQueriesContext(connection) as captured:
        count(owner)
    assert len(captured) == 1
    count(owner, cost_usd=None, prompt_tokens=None, completion_tokens=None, ttft_ms=None)
    count(owner, status=Status.INTERRUPTED, model="n" * 300, provider="p" * 50)
    total, groups = all_of(owner, "model")
    assert total.sums["turns"] == 3
    assert total.sums["failures"] == 1
    assert total.sums["prompt_tokens"] == 20
    assert total.sums["cost_usd"] == Decimal("0.002")
    assert [(group.model, group.sums["turns"]) for group in groups] == [("m", 2), ("n" * 200, 1)]


def test_a_user_who_is_gone_is_not_counted_and_spoils_nothing(owner: User) -> None:
    gone = User.objects.create(username="gone")
    pk = gone.pk
    gone.delete()
    with transaction.atomic():
        count(User(pk=pk))
    assert not TurnStatistics.objects.exists()


def test_percentiles_are_those_of_all_the_turns(owner: User) -> None:
    times = [50, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600]
    for index, ttft_ms in enumerate(times):
        count(owner, ttft_ms=ttft_ms, model=f"m{index % 2}")
    for _ in range(5):
        count(owner, ttft_ms=None)
    total, _ = all_of(owner)
    assert total.percentile(0.5) == pytest.approx(800, rel=0.05)
    assert total.percentile(0.95) == pytest.approx(25600, rel=0.05)
    assert total.percentile(0.1) == pytest.approx(50, rel=0.05)


@given(st.integers(10, 10**7))
def test_a_time_is_told_within_a_twentieth(ttft_ms: int) -> None:
    told = statistics.milliseconds_of(statistics.bucket_of(ttft_ms))
    assert abs(told - ttft_ms) <= ttft_ms * 0.05 + 1


def test_too_many_groups_are_refused(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "MAX_GROUPS", 2)
    for model in ("a", "b", "c"):
        count(owner, model=model)
    assert len(all_of(owner, "provider")[1]) == 1
    with pytest.raises(Exception, match="invalid_request"):
        all_of(owner, "model")


def test_an_end_that_is_stored_twice_is_counted_once(owner: User) -> None:
    conversation = Conversation.objects.create(owner=owner, provider="p", model="m")
    message = Message.objects.create(conversation=conversation, role="assistant", status="streaming")
    message.status, message.provider, message.model, message.latency_ms = Status.CANCELLED, "p", "m", 10
    store.finish_turn(message, FINAL_FIELDS, [])
    store.finish_turn_late(message, FINAL_FIELDS, [])
    assert all_of(owner)[0].sums["turns"] == 1
