"""Requests per minute: never more than allowed, wherever they are counted, and a wait that is worth it."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from pytest_django import DjangoAssertNumQueries

from chatproject.apikeys.auth import authenticate
from chatproject.apikeys.models import ApiKey, RequestCount
from chatproject.apikeys.rates import Counter, Rate, count_in_cache, count_in_database
from tests.fakes.ports import free_port

Count = Callable[[int, float], Rate]
START = 60 * 29_000_000.0
"""The beginning of a minute."""


@pytest.fixture
def key(owner: User) -> ApiKey:
    return ApiKey.objects.issue(user=owner, name="key")[0]


@pytest.fixture(params=["database", "cache"])
def count(request: pytest.FixtureRequest, key: ApiKey) -> Count:
    """Counts a request: (limit, moment)."""
    if request.param == "database":
        return lambda limit, now: count_in_database(key.pk, limit, now)
    shared = LocMemCache(f"rates-{key.pk}", {})  # it counts as Redis does, for one process
    shared.clear()
    return lambda limit, now: count_in_cache(shared, key.pk, limit, now)


def test_as_many_as_allowed_and_no_more(count: Count) -> None:
    rates = [count(3, START + 10) for _ in range(5)]
    assert [rate.refused for rate in rates] == [False, False, False, True, True]
    assert [rate.remaining for rate in rates] == [2, 1, 0, 0, 0]


def test_waiting_as_long_as_told_helps_and_less_does_not(count: Count) -> None:
    now = START + 10
    for _ in range(3):
        count(3, now)
    for _ in range(4):
        wait = count(3, now).reset
        assert count(3, now + wait - 1.001).refused
        assert not count(3, now + wait).refused
        now += wait


def test_the_minute_before_counts_as_far_as_it_reaches(count: Count) -> None:
    for _ in range(10):
        count(10, START + 59)
    assert count(10, START + 60).refused
    assert sum(not count(10, START + 90).refused for _ in range(10)) == 5, "half of it is over"


def test_after_a_pause_all_is_free(count: Count) -> None:
    for _ in range(3):
        count(3, START)
    assert [count(3, START + 180).remaining for _ in range(3)] == [2, 1, 0]


def test_a_limit_of_one(count: Count) -> None:
    assert not count(1, START).refused
    wait = count(1, START).reset
    assert not count(1, START + wait).refused


def test_a_node_whose_clock_is_behind_does_not_begin_the_minute_anew(key: ApiKey) -> None:
    for _ in range(3):
        count_in_database(key.pk, 3, START + 60)
    assert count_in_database(key.pk, 3, START + 59.9).refused
    assert count_in_database(key.pk, 3, START + 60.1).refused


def test_a_limited_key_pays_one_statement_and_others_none(
    owner: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    plains = [ApiKey.objects.issue(user=owner, name="key", requests_per_minute=limit)[1] for limit in (0, 5)]
    for plain in plains:
        authenticate(plain)  # notes that it was used
    for plain, statements in zip(plains, (1, 2), strict=True):
        with django_assert_num_queries(statements):
            found = authenticate(plain)
        assert found is not None
        assert (found.rate is None) == (statements == 1)


def test_while_redis_is_away_the_database_counts(key: ApiKey) -> None:
    pytest.importorskip("redis", reason="the package redis is not installed")
    nobody = RedisCache([f"redis://127.0.0.1:{free_port()}/0"], {"OPTIONS": {"socket_connect_timeout": 1}})
    counter = Counter(nobody)
    assert [counter.count(key.pk, 2).refused for _ in range(3)] == [False, False, True]
    assert RequestCount.objects.get().requests == 2
