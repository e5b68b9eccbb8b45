"""How many events of one kind of failure may go."""

import threading
from typing import Any

from chatproject.observability.limiter import INTERVAL, KINDS, Limiter
from tests.conftest import StartServer
from tests.fakes.ingest import Ingest


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def failure(*fingerprint: str) -> Any:
    return {"fingerprint": list(fingerprint)}


def bug(kind: str, transaction: str, line: int = 1) -> Any:
    frames = [{"module": "m", "lineno": line}]
    return {"exception": {"values": [{"type": kind, "stacktrace": {"frames": frames}}]}, "transaction": transaction}


def passed(limiter: Limiter, event: Any, times: int) -> int:
    return sum(limiter(dict(event), {}) is not None for _ in range(times))


def test_it_lets_the_burst_go_and_then_one_for_each_interval() -> None:
    clock = Clock()
    limiter = Limiter(3, clock)
    assert passed(limiter, failure("a"), 1000) == 3
    clock.now += INTERVAL
    assert passed(limiter, failure("a"), 1000) == 1
    clock.now += 100 * INTERVAL
    assert passed(limiter, failure("a"), 1000) == 3


def test_the_next_event_says_how_many_were_held_back_and_since_when() -> None:
    clock = Clock()
    limiter = Limiter(1, clock)
    assert passed(limiter, failure("a"), 8) == 1
    clock.now += INTERVAL
    event = limiter({"fingerprint": ["a"], "contexts": {"trace": {}}}, {})
    assert event is not None
    assert event["contexts"]["trace"] == {}
    dropped = event["contexts"]["dropped"]
    assert dropped["events"] == 7
    assert dropped["since"].endswith("+00:00")
    clock.now += INTERVAL
    assert limiter(failure("a"), {}) == failure("a")


def test_each_kind_of_failure_has_a_limit_of_its_own() -> None:
    limiter = Limiter(1, Clock())
    kinds = [
        failure("a"),
        failure("a", "b"),
        bug("KeyError", "/x"),
        bug("KeyError", "/y"),
        bug("KeyError", "/x", line=2),
        bug("ValueError", "/x"),
        {"logentry": {"message": "one"}},
        {"message": "two"},
        bug("KeyError", "/z") | failure("{{ default }}", "more"),
    ]
    assert [passed(limiter, kind, 2) for kind in kinds] == [1] * len(kinds)


def test_what_is_no_error_is_not_limited() -> None:
    limiter = Limiter(1, Clock())
    assert passed(limiter, {"type": "check_in"}, 5) == 5


def test_0_is_no_limit() -> None:
    assert passed(Limiter(0, Clock()), failure("a"), 50) == 50


def test_it_remembers_a_bounded_number_of_kinds_and_forgets_the_oldest() -> None:
    limiter = Limiter(1, Clock())
    for number in range(KINDS):
        limiter(failure(str(number)), {})
    assert passed(limiter, failure("0"), 1) == 0  # seen again: now the newest
    limiter(failure("one more"), {})
    assert passed(limiter, failure("0"), 1) == 0
    assert passed(limiter, failure("1"), 1) == 1
    assert len(limiter._buckets) == KINDS


def test_threads_share_one_limit() -> None:
    limiter, went = Limiter(100, Clock()), []
    threads = [threading.Thread(target=lambda: went.append(passed(limiter, failure("a"), 200))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(went) == 100


def test_a_held_back_event_is_promised_to_nobody(start_server: StartServer, ingest: Ingest) -> None:
    client = start_server(SENTRY_DSN=ingest.dsn, SENTRY_EVENT_BURST="5").client()
    conversation = client.conversation()["id"]
    blocking = [client.say(conversation, "go", model="status-500").json() for _ in range(10)]
    streamed = [client.events(conversation, "go", model="status-500")[-1].data for _ in range(10)]
    crashes = [client.get("/sentry-debug").json() for _ in range(10)]
    failures = [problem["sentry_event_id"] for problem in blocking + streamed if "sentry_event_id" in problem]
    bugs = [problem["sentry_event_id"] for problem in crashes if "sentry_event_id" in problem]
    assert len(failures) == len(bugs) == 5
    assert [event["event_id"] for event in ingest.wait("event", 10)] == failures + bugs
    stored = [message["sentry_event_id"] for message in client.messages(conversation) if message["role"] != "user"]
    assert stored == failures + [None] * 15
