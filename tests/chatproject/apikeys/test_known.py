"""Keys that a worker knows for a moment: they save look-ups, and what happens to a key is felt within seconds."""

import pytest
from pytest_django import Settings

from chatproject.apikeys import known as module
from chatproject.apikeys.known import Known
from chatproject.apikeys.models import ApiKey
from chatproject.apikeys.rates import Rate
from tests.conftest import StartServer
from tests.fakes.client import assert_problem
from tests.fakes.waiting import poll


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def known(clock: Clock, settings: Settings) -> Known:
    settings.CHAT_KEY_CACHE_SECONDS = 2.0
    return Known(clock)


def test_a_key_is_known_for_that_long(known: Known, clock: Clock) -> None:
    key = ApiKey(name="one")
    known.add("ck_one", key)
    clock.now += 1.9
    assert known.get("ck_one") is key
    assert known.get("ck_two") is None
    clock.now += 0.1
    assert known.get("ck_one") is None


def test_use_does_not_make_it_longer(known: Known, clock: Clock) -> None:
    known.add("ck_one", ApiKey(name="one"))
    for _ in range(4):
        known.get("ck_one")
        clock.now += 0.5
    assert known.get("ck_one") is None


def test_no_key_is_known_when_the_setting_says_so(known: Known, settings: Settings) -> None:
    settings.CHAT_KEY_CACHE_SECONDS = 0.0
    known.add("ck_one", ApiKey(name="one"))
    assert known.get("ck_one") is None


def test_a_key_whose_requests_are_counted_is_never_known(known: Known) -> None:
    key = ApiKey(name="one")
    key.rate = Rate(10, 9, 60, refused=False)
    known.add("ck_one", key)
    assert known.get("ck_one") is None


def test_a_worker_does_not_know_keys_without_end(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    for number in range(10):
        known.add(f"ck_{number}", ApiKey(name="one"))
    assert sum(known.get(f"ck_{number}") is not None for number in range(10)) <= 3


def test_a_revoked_key_is_refused_within_seconds(start_server: StartServer) -> None:
    server = start_server(CHAT_KEY_CACHE_SECONDS="1")
    client = server.client()
    assert client.get("/api/conversations").status_code == 200
    server.db.query("UPDATE apikeys_apikey SET revoked_at = created_at")
    poll(lambda: client.get("/api/conversations").status_code == 401, what="refusal")
    assert_problem(client.get("/api/conversations"), 401, "invalid_api_key")
