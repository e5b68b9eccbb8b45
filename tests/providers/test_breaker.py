"""The circuit breaker, on real caches: two breakers are two workers, and the test turns the clock."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from django.db import connection, transaction

from chatproject import db
from providers import breaker, circuits
from providers.breaker import PROBE_MARGIN, PROBE_WAIT, Breaker
from providers.circuit_store import ENTRY, Store
from providers.circuits import Event, Key, Rules, State
from providers.errors import CircuitOpen
from providers.registry import Provider, Timeouts
from providers.shared_circuits import FRESH, REST
from tests.fakes.ports import free_port

pytestmark = pytest.mark.django_db(transaction=True)

KEY = Key("local", "smollm2-135m-instruct")
FAILURES, PAUSE, PROBE = 3, 30.0, 95.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += seconds


class Worker(Breaker):
    """One with words of its own: the tests ask for the same model again and again. What it tells is shared when they
    return.
    """

    async def asks(self) -> float:
        """0 when an attempt is admitted, else the seconds to wait."""
        try:
            await self.admit(KEY, "Embedded model")
        except CircuitOpen as error:
            return error.retry_after or -1
        return 0

    async def fails(self, times: int = 1) -> None:
        for _ in range(times):
            self.report(Event.FAILED, KEY, "server_error")
            await self.shared()

    async def succeeds(self) -> None:
        self.report(Event.SUCCEEDED, KEY)
        await self.shared()

    async def tells_nothing(self) -> None:
        self.report(Event.RELEASED, KEY)
        await self.shared()

    async def begins(self) -> None:
        self.begun(KEY)
        await self.shared()

    async def shared(self) -> None:
        if self._circuits._task is not None:
            await self._circuits._task

    def state(self) -> State:
        return next((trouble.state for trouble in self.troubles()), State.CLOSED)


@pytest.fixture(autouse=True, scope="module")
def _pool() -> Iterator[None]:
    """Ends the pool with the module: PostgreSQL drops no database that has connections."""
    yield
    everyone = threading.Barrier(settings.DATABASE_THREADS)

    def close() -> None:
        everyone.wait(10)
        connection.close()

    pool = db._pool()
    for _ in range(settings.DATABASE_THREADS):
        pool.submit(close)
    pool.shutdown()
    db._pool.cache_clear()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["database", "locmem"])
def cache(request: pytest.FixtureRequest) -> BaseCache:
    if request.param == "locmem":
        return LocMemCache(uuid4().hex, {})
    cache = caches.create_connection("default")
    assert isinstance(cache, DatabaseCache), "without CACHE_URL"
    cache.clear()
    return cache


MakeWorker = Callable[..., Worker]


@pytest.fixture
def worker(cache: BaseCache, clock: Clock) -> MakeWorker:
    """Another worker of the same deployment."""

    def make(failures: int = FAILURES, shared: BaseCache = cache) -> Worker:
        return Worker(Rules(failures, PAUSE), Store(shared), probe_seconds=PROBE, clock=clock)

    return make


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Lets pytest call a coroutine function, each under an event loop of its own."""

    def run(worker: MakeWorker, clock: Clock) -> None:
        asyncio.run(test(worker, clock))

    run.__name__ = run.__qualname__ = test.__name__
    return run


async def opened(worker: MakeWorker) -> Worker:
    """A worker that has just seen the circuit open."""
    one = worker()
    await one.fails(FAILURES)
    assert one.state() is State.OPEN
    return one


@in_loop
async def test_it_opens_after_failures_in_a_row(worker: MakeWorker, clock: Clock) -> None:
    one = worker()
    await one.fails(FAILURES - 1)
    assert await one.asks() == 0
    await one.fails()
    assert await one.asks() == PAUSE
    clock.turn(PAUSE - 0.2)
    assert await one.asks() == 1
    with pytest.raises(CircuitOpen, match=r"^Embedded model has failed too often"):
        await one.admit(KEY, "Embedded model")


@in_loop
async def test_the_failures_of_all_workers_count_together(worker: MakeWorker, clock: Clock) -> None:
    one, other, third = worker(), worker(), worker()
    for each in (one, other, one):
        await each.fails()
    assert await third.asks() == PAUSE
    assert await one.asks() == PAUSE
    clock.turn(FRESH)
    assert await other.asks() == PAUSE - FRESH


@in_loop
async def test_a_success_between_failures_starts_the_count_anew(worker: MakeWorker, clock: Clock) -> None:
    one, other = worker(), worker()
    await one.fails(FAILURES - 1)
    await other.asks()
    await other.succeeds()
    await one.fails(FAILURES - 1)
    assert await one.asks() == 0
    await other.fails()
    clock.turn(FRESH)
    assert await one.asks() > 0


@in_loop
async def test_old_failures_are_forgotten(worker: MakeWorker, clock: Clock) -> None:
    one = worker()
    await one.fails(FAILURES - 1)
    clock.turn(circuits.FORGOTTEN + 1)
    await one.fails()
    assert await one.asks() == 0


@in_loop
async def test_it_opens_when_half_of_many_attempts_failed(worker: MakeWorker, clock: Clock) -> None:
    one, other = worker(1_000), worker(1_000)
    for _ in range(9):
        await one.fails()
        await one.succeeds()
    await one.succeeds()
    await one.fails()
    assert await one.asks() > 0
    assert await other.asks() > 0


@in_loop
async def test_what_is_over_a_minute_ago_does_not_count_as_a_share(worker: MakeWorker, clock: Clock) -> None:
    one = worker(1_000)
    await one.fails(19)
    clock.turn(61)
    await one.fails()
    assert await one.asks() == 0


@in_loop
async def test_the_share_before_a_pause_does_not_count_after_it(worker: MakeWorker, clock: Clock) -> None:
    one = worker(25)
    await one.fails(20)
    clock.turn(PAUSE)
    assert await one.asks() == 0
    await one.succeeds()
    await one.fails()
    assert await one.asks() == 0


@in_loop
async def test_there_is_one_probe_in_the_whole_deployment(worker: MakeWorker, clock: Clock) -> None:
    workers = [await opened(worker), worker()]
    clock.turn(PAUSE)
    waits = await asyncio.gather(*(workers[n % 2].asks() for n in range(20)))
    assert sorted(waits) == [0] + [PROBE_WAIT] * 19
    clock.turn(FRESH)
    assert await asyncio.gather(*(each.asks() for each in workers)) == [PROBE_WAIT] * 2


@in_loop
async def test_the_probes_success_closes_it_for_everyone(worker: MakeWorker, clock: Clock) -> None:
    one, other = await opened(worker), worker()
    clock.turn(PAUSE)
    assert await one.asks() == 0
    assert await other.asks() == PROBE_WAIT
    await one.succeeds()
    assert one.state() is State.CLOSED
    clock.turn(FRESH)
    assert await other.asks() == 0
    assert other.state() is State.CLOSED


@in_loop
async def test_each_failed_probe_doubles_the_pause_up_to_ten_times(worker: MakeWorker, clock: Clock) -> None:
    one = await opened(worker)
    clock.turn(PAUSE)
    for factor in (2, 4, 8, 10, 10):
        assert await one.asks() == 0
        await one.fails()
        assert await one.asks() == factor * PAUSE
        clock.turn(factor * PAUSE)


@in_loop
async def test_a_probe_that_tells_nothing_is_given_back(worker: MakeWorker, clock: Clock) -> None:
    one, other = await opened(worker), worker()
    clock.turn(PAUSE)
    for _ in range(10):
        assert await one.asks() == 0
        await one.tells_nothing()
    assert await one.asks() == 0
    assert await other.asks() == PROBE_WAIT
    await one.tells_nothing()
    clock.turn(FRESH)
    assert await other.asks() == 0
    assert await one.asks() == PROBE_WAIT


@in_loop
async def test_a_probe_whose_worker_died_is_replaced_by_one(worker: MakeWorker, clock: Clock) -> None:
    dead, one, other = await opened(worker), worker(), worker()
    clock.turn(PAUSE)
    assert await dead.asks() == 0
    clock.turn(PROBE - 1)
    assert await one.asks() == PROBE_WAIT
    for _ in range(10):  # and so does each that replaces it
        clock.turn(2)
        waits = await asyncio.gather(*((one, other)[n % 2].asks() for n in range(20)))
        assert sorted(waits) == [0] + [PROBE_WAIT] * 19
        clock.turn(PROBE - 1)
        assert [await one.asks(), await other.asks()] == [PROBE_WAIT] * 2


@in_loop
async def test_the_probes_first_token_closes_it_for_everyone(worker: MakeWorker, clock: Clock) -> None:
    one, other = await opened(worker), worker()
    clock.turn(PAUSE)
    assert await one.asks() == 0
    assert await other.asks() == PROBE_WAIT
    await one.begins()
    assert await one.asks() == 0
    clock.turn(FRESH)
    assert await other.asks() == 0


@in_loop
async def test_a_probe_that_breaks_after_its_first_token_has_failed_as_any_attempt(
    worker: MakeWorker, clock: Clock
) -> None:
    one = await opened(worker)
    clock.turn(PAUSE)
    assert await one.asks() == 0
    await one.begins()
    await one.fails(FAILURES - 1)
    assert await one.asks() == 0
    await one.fails()
    assert await one.asks() == PAUSE


@in_loop
async def test_the_first_token_of_another_attempt_closes_nothing(worker: MakeWorker, clock: Clock) -> None:
    one, other = await opened(worker), worker()
    assert await other.asks() == PAUSE
    for each in (one, other):
        await each.begins()
        assert each.state() is State.OPEN
    clock.turn(PAUSE)
    prober = asyncio.create_task(one.asks())  # in a context of its own
    assert await prober == 0
    for each in (one, other):
        await each.begins()
        assert await each.asks() == PROBE_WAIT


@in_loop
async def test_the_first_token_of_a_healthy_attempt_is_no_second_success(worker: MakeWorker, clock: Clock) -> None:
    one = worker()
    await one.fails(FAILURES - 1)
    await one.begins()
    await one.fails()
    assert await one.asks() == PAUSE


async def loses(cache: BaseCache, news: Coroutine[Any, Any, None]) -> None:
    """What another worker's write that overlaps with it does to it, or a database that takes no write."""
    before = await db.run(cache.get, ENTRY)
    await news
    assert await db.run(cache.get, ENTRY) != before
    await db.run(cache.set, ENTRY, before)


@pytest.mark.parametrize("how", [Worker.succeeds, Worker.begins, Worker.fails])
def test_when_the_news_of_a_probe_is_lost_the_next_probe_is_free_at_once(
    worker: MakeWorker, clock: Clock, cache: BaseCache, how: Callable[[Worker], Coroutine[Any, Any, None]]
) -> None:
    async def lose() -> None:
        one, other = await opened(worker), worker()
        clock.turn(PAUSE)
        assert await one.asks() == 0
        assert await other.asks() == PROBE_WAIT
        await loses(cache, how(one))
        clock.turn(FRESH)
        waits = await asyncio.gather(*((one, other)[n % 2].asks() for n in range(20)))
        assert sorted(waits) == [0] + [PROBE_WAIT] * 19

    asyncio.run(lose())


def test_a_closing_that_was_lost_is_made_good_by_the_next_probe(
    worker: MakeWorker, clock: Clock, cache: BaseCache
) -> None:
    async def lose() -> None:
        one, other = await opened(worker), worker()
        clock.turn(PAUSE)
        assert await one.asks() == 0
        await loses(cache, one.succeeds())
        assert await other.asks() == 0
        await other.succeeds()
        clock.turn(FRESH)
        assert [await one.asks(), await one.asks(), await other.asks()] == [0, 0, 0]

    asyncio.run(lose())


@in_loop
async def test_whoever_has_not_heard_of_a_probe_that_failed_makes_no_other(worker: MakeWorker, clock: Clock) -> None:
    one, other = await opened(worker), worker()
    clock.turn(PAUSE)
    await other.look_soon()
    assert await one.asks() == 0
    await one.fails()
    assert other.state() is State.HALF_OPEN
    assert await other.asks() == PROBE_WAIT
    clock.turn(FRESH)
    assert await other.asks() == 2 * PAUSE - FRESH


@in_loop
async def test_only_the_probe_decides(worker: MakeWorker, clock: Clock) -> None:
    """Attempts that began before the circuit opened end whenever they like, in the same worker or another."""
    one, other = await opened(worker), worker()
    await other.asks()
    clock.turn(PAUSE)
    probe_is_out, probe_may_end = asyncio.Event(), asyncio.Event()

    async def probe() -> None:
        assert await one.asks() == 0
        probe_is_out.set()
        await probe_may_end.wait()
        await one.succeeds()

    probing = asyncio.create_task(probe())
    await probe_is_out.wait()
    for each in (one, other):
        await each.tells_nothing()
        await each.succeeds()
        await each.fails()
        assert await each.asks() == PROBE_WAIT
    probe_may_end.set()
    await probing
    assert await one.asks() == 0


@in_loop
async def test_a_caller_who_is_cancelled_while_it_asks_for_the_probe_gives_it_back(
    worker: MakeWorker, clock: Clock
) -> None:
    one, other = await opened(worker), worker()
    clock.turn(PAUSE)
    await one.look_soon()
    caller = asyncio.create_task(one.asks())
    await asyncio.sleep(0)  # it has asked the cache
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert one._circuits._pending[0].claim, "it had it"
    await one.shared()
    assert await other.asks() == 0


@in_loop
async def test_the_health_of_another_model_is_its_own(worker: MakeWorker, clock: Clock) -> None:
    one = await opened(worker)
    await one.admit(Key("local", "another"), "Embedded model")
    await one.admit(Key("another", KEY.model), "Another")


@in_loop
async def test_0_failures_mean_no_circuit(worker: MakeWorker, clock: Clock) -> None:
    one = worker(0)
    await one.fails(100)
    assert await one.asks() == 0
    assert one.troubles() == []


@in_loop
async def test_a_clock_that_is_set_back_keeps_no_circuit_open(worker: MakeWorker, clock: Clock) -> None:
    one = await opened(worker)
    clock.turn(-7200)
    assert await one.asks() == 0


@in_loop
async def test_a_person_closes_it_for_everyone(worker: MakeWorker, clock: Clock) -> None:
    one, other = await opened(worker), worker()
    assert await other.asks() > 0
    assert await db.run(one.close, KEY)
    assert await one.asks() == 0
    clock.turn(FRESH)
    assert await other.asks() == 0


@in_loop
async def test_it_shows_what_is_not_closed(worker: MakeWorker, clock: Clock) -> None:
    one, other = await opened(worker), worker()
    one.report(Event.FAILED, Key("local", "another"), "timeout")
    await one.shared()
    await other.look_soon()
    [trouble] = other.troubles()
    assert (trouble.key, trouble.state, trouble.failures) == (KEY, State.OPEN, FAILURES)
    assert (trouble.code, trouble.retry_after_s) == ("server_error", PAUSE)
    assert trouble.opened_at.timestamp() == clock.now
    clock.turn(PAUSE)
    [trouble] = other.troubles()
    assert (trouble.state, trouble.retry_after_s) == (State.HALF_OPEN, 0)


def test_made_up_models_fill_neither_the_cache_nor_the_memory(
    worker: MakeWorker, clock: Clock, cache: BaseCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuits, "MOST", 5)
    monkeypatch.setattr(breaker, "MOST_KNOWN", 7)

    async def fill() -> None:
        one = await opened(worker)
        for number in range(20):
            clock.turn(0.01)
            one.report(Event.FAILED, Key("local", f"made-up-{number}"), "timeout")
            await one.shared()
        assert one.state() is State.OPEN, "what is open is worth more"
        assert (len(await db.run(cache.get, ENTRY)), len(one._circuits.view), len(one._windows)) == (5, 5, 7)

    asyncio.run(fill())


def test_a_model_name_of_a_user_is_in_no_log_and_no_key(
    worker: MakeWorker, clock: Clock, cache: BaseCache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    names: list[str] = []
    add = cache.add
    cache.add = lambda name, *args, **kwargs: names.append(name) or add(name, *args, **kwargs)  # type: ignore[method-assign]

    async def probe() -> None:
        one, secret = worker(), Key("local", "my secret/model\n")
        for _ in range(FAILURES):
            one.report(Event.FAILED, secret, "timeout")
        await one.shared()
        clock.turn(PAUSE)
        await one.admit(secret, "Embedded model")
        one.report(Event.SUCCEEDED, secret)
        await one.shared()

    asyncio.run(probe())
    assert "secret" not in caplog.text + str(names)
    assert [record.getMessage() for record in caplog.records] == [
        "local, another model: circuit open for 30 s after timeout",
        "local, another model: circuit closed",
    ]
    assert len(names) == 1


def test_opening_and_closing_are_told_once_each(
    worker: MakeWorker, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def live() -> None:
        one, other = await opened(worker), worker()
        await one.fails(3)
        for each in (one, other):
            clock.turn(FRESH)
            await each.asks()
        clock.turn(PAUSE)
        await other.asks()
        await other.fails()
        clock.turn(2 * PAUSE)
        await one.asks()
        await one.succeeds()
        clock.turn(FRESH)
        await other.asks()

    asyncio.run(live())
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "local, smollm2-135m-instruct: circuit open for 30 s after server_error"),
        ("WARNING", "local, smollm2-135m-instruct: circuit open for 60 s after server_error"),
        ("INFO", "local, smollm2-135m-instruct: circuit closed"),
    ]


class Counting(LocMemCache):
    """Counts what it is asked."""

    def __init__(self) -> None:
        super().__init__(uuid4().hex, {})
        self.calls: list[str] = []

    def get(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append("get")
        return super().get(*args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> None:
        self.calls.append("set")
        super().set(*args, **kwargs)


def test_a_healthy_turn_costs_no_more_than_one_read_a_second(clock: Clock) -> None:
    counting = Counting()
    one = Worker(Rules(FAILURES, PAUSE), Store(counting), probe_seconds=PROBE, clock=clock)

    async def turns() -> None:
        for _ in range(100):
            assert await one.asks() == 0
            await one.begins()
            await one.succeeds()
            await one.tells_nothing()

    asyncio.run(turns())
    assert counting.calls == ["get"]
    clock.turn(FRESH)
    one.refresh()
    one.refresh()
    asyncio.run(turns())
    assert counting.calls == ["get"] * 2


def test_an_outage_does_not_flood_the_cache(clock: Clock) -> None:
    counting = Counting()
    one = Worker(Rules(FAILURES, PAUSE), Store(counting), probe_seconds=PROBE, clock=clock)

    async def crowd() -> None:
        await asyncio.gather(*(one.asks() for _ in range(200)))
        await asyncio.gather(*(one.fails() for _ in range(200)))
        await asyncio.gather(*(one.asks() for _ in range(200)))

    asyncio.run(crowd())
    assert one.state() is State.OPEN
    assert len(counting.calls) <= 1 + 2 * FAILURES


def test_a_look_in_a_transaction_is_left_to_whoever_comes_next(clock: Clock) -> None:
    counting = Counting()
    one = Worker(Rules(FAILURES, PAUSE), Store(counting), probe_seconds=PROBE, clock=clock)
    with transaction.atomic():
        one.refresh()
    assert counting.calls == []
    one.refresh()
    assert counting.calls == ["get"]


@pytest.fixture
def no_table() -> DatabaseCache:
    return DatabaseCache("no_such_table", {})


def test_without_the_cache_each_worker_goes_by_what_it_has_seen(
    worker: MakeWorker, clock: Clock, no_table: DatabaseCache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "providers.breaker")

    async def alone() -> None:
        one, other = worker(shared=no_table), worker(shared=no_table)
        assert await one.asks() == 0
        await one.fails(FAILURES)
        assert await one.asks() == PAUSE
        assert await other.asks() == 0
        clock.turn(PAUSE)
        assert sorted(await asyncio.gather(*(one.asks() for _ in range(20)))) == [0] + [PROBE_WAIT] * 19
        clock.turn(PROBE + 1)
        assert await one.asks() == 0, "that caller never said how it ended"
        await one.succeeds()
        assert await one.asks() == 0

    asyncio.run(alone())
    away = [record for record in caplog.records if "the cache fails" in record.getMessage()]
    assert len(away) == 2, "one for each worker"
    assert "no_such_table" not in caplog.text


class Broken(Counting):
    """Takes nothing, and says so."""

    def get(self, *args: Any, **kwargs: Any) -> Any:
        super().get(*args, **kwargs)
        raise ConnectionError


def test_a_cache_that_is_away_is_left_alone_for_a_while(clock: Clock) -> None:
    broken = Broken()
    one = Worker(Rules(FAILURES, PAUSE), Store(broken), probe_seconds=PROBE, clock=clock)

    async def live() -> None:
        await one.fails(FAILURES)
        assert await one.asks() == PAUSE
        assert broken.calls == ["get"]
        clock.turn(PAUSE)
        assert await one.asks() == 0
        await one.succeeds()
        assert await one.asks() == 0
        assert broken.calls == ["get"] * 2

    asyncio.run(live())


class Silent(LocMemCache):
    """Takes no new entry, and says that there is one."""

    def add(self, *args: Any, **kwargs: Any) -> bool:
        return False


def test_a_cache_that_hides_its_errors_keeps_no_circuit_open(worker: MakeWorker, clock: Clock) -> None:
    async def alone() -> None:
        one = worker(shared=Silent(uuid4().hex, {}))
        await one.fails(FAILURES)
        clock.turn(PAUSE)
        assert [await one.asks(), await one.asks()] == [0, PROBE_WAIT]

    asyncio.run(alone())


def test_what_a_worker_saw_without_the_cache_is_shared_when_it_is_back(
    worker: MakeWorker, clock: Clock, no_table: DatabaseCache, cache: BaseCache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "providers.breaker")

    async def recover() -> None:
        one, other = worker(), worker()
        one._store._cache = no_table
        await one.fails(FAILURES)
        assert await other.asks() == 0
        one._store._cache = cache
        assert await one.asks() == PAUSE
        clock.turn(REST)
        assert await one.asks() == PAUSE - REST
        assert await other.asks() == PAUSE - REST

    asyncio.run(recover())
    assert [record.getMessage() for record in caplog.records][-1] == (
        "the cache answers again: the workers share their circuits"
    )


class Hanging(LocMemCache):
    """Answers once it may."""

    def __init__(self) -> None:
        super().__init__(uuid4().hex, {})
        self.asked, self.goes_on = threading.Event(), threading.Event()

    def get(self, *args: Any, **kwargs: Any) -> Any:
        self.asked.set()
        assert self.goes_on.wait(20)
        return super().get(*args, **kwargs)


def test_no_turn_waits_long_for_a_cache_that_hangs(clock: Clock) -> None:
    hanging = Hanging()
    one = Worker(Rules(FAILURES, PAUSE), Store(hanging), probe_seconds=PROBE, clock=clock)

    async def wait() -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            await asyncio.gather(*(one.asks() for _ in range(20)))
            for _ in range(20):
                one.report(Event.FAILED, KEY, "server_error")
            assert await one.asks() > 0
            assert loop.time() - started < 5
        finally:
            hanging.goes_on.set()
        await one.look_soon()

    asyncio.run(wait())


def test_what_an_attempt_tells_counts_at_once_and_is_shared_in_the_background(clock: Clock) -> None:
    hanging = Hanging()
    one, other = (Worker(Rules(FAILURES, PAUSE), Store(hanging), probe_seconds=PROBE, clock=clock) for _ in range(2))

    async def tell() -> None:
        hanging.goes_on.set()
        assert await one.asks() == 0
        for event in (hanging.goes_on, hanging.asked):
            event.clear()
        try:
            one.report(Event.FAILED, KEY, "server_error")
            assert await asyncio.to_thread(hanging.asked.wait, 10), "the first is on its way"
            for _ in range(FAILURES - 1):
                one.report(Event.FAILED, KEY, "server_error")
            assert await one.asks() == PAUSE
        finally:
            hanging.goes_on.set()
        await one.shared()
        assert await other.asks() == PAUSE

    asyncio.run(tell())


def test_nobody_waits_for_somebody_elses_look(clock: Clock) -> None:
    hanging = Hanging()
    one = Worker(Rules(FAILURES, PAUSE), Store(hanging), probe_seconds=PROBE, clock=clock)
    looks = threading.Thread(target=one.refresh)
    looks.start()
    try:
        assert hanging.asked.wait(10)
        one.refresh()
        assert looks.is_alive()
    finally:
        hanging.goes_on.set()
        looks.join()


def test_a_probe_counts_as_dead_once_its_first_token_is_overdue(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Provider(name="slow", label="", base_url="", model="", timeouts=Timeouts(connect=7, first_token=200))
    quick = Provider(name="quick", label="", base_url="", model="", timeouts=Timeouts(connect=60, turn=9_000))
    monkeypatch.setattr(settings, "CHAT_PROVIDERS", {"slow": slow, "quick": quick})
    breaker._make.cache_clear()
    try:
        assert breaker.worker()._probe_seconds == 207 + PROBE_MARGIN
    finally:
        breaker._make.cache_clear()


def test_a_redis_where_nobody_listens_costs_a_turn_nothing(worker: MakeWorker, clock: Clock) -> None:
    pytest.importorskip("redis", reason="the package redis is not installed")

    nobody = RedisCache([f"redis://127.0.0.1:{free_port()}/0"], {"OPTIONS": {"socket_connect_timeout": 1}})

    async def alone() -> None:
        one = worker(shared=nobody)
        await one.fails(FAILURES)
        assert await one.asks() == PAUSE
        clock.turn(PAUSE)
        assert await one.asks() == 0
        await one.succeeds()
        assert await one.asks() == 0

    asyncio.run(alone())
