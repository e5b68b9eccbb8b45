"""Reads of the environment: a malformed value is refused by its variable's name, and never repeated."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from chatproject.env import Env, http_url

NAME = "SOME_VARIABLE"


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Env]:
    """An Env in which SOME_VARIABLE has the value given."""

    def with_value(value: str) -> Env:
        monkeypatch.setenv(NAME, value)
        return Env()

    return with_value


MALFORMED: list[tuple[str, Callable[[Env], Any]]] = [
    ("maybe", lambda env: env.flag(NAME, True)),
    ("2", lambda env: env.flag(NAME, True)),
    ("1.5", lambda env: env.rate(NAME, 1.0)),
    ("-0.1", lambda env: env.rate(NAME, 1.0)),
    ("nan", lambda env: env.rate(NAME, 1.0)),
    ("much", lambda env: env.rate(NAME, 1.0)),
    ("0,5", lambda env: env.rate(NAME, 1.0)),
    ("inf", lambda env: env.number(NAME, 5, 0.1, 60)),
    ("61", lambda env: env.number(NAME, 5, 0.1, 60)),
    ("2.5", lambda env: env.integer(NAME, 8, 1, 64)),
    ("0", lambda env: env.integer(NAME, 8, 1, 64)),
    ("eight", lambda env: env.integer(NAME, 8, 1, 64)),
    ("Production", lambda env: env.choice(NAME, "development", ["development", "production"])),
    ("secret-value", lambda env: env.choice(NAME, "local", ["local"])),
    ("no dsn", lambda env: env.dsn(NAME)),
    ("https://sentry.example.com/1", lambda env: env.dsn(NAME)),
    ("https://secret@sentry.example.com", lambda env: env.dsn(NAME)),
    ("https://secret@sentry.example.com/project", lambda env: env.dsn(NAME)),
    ("ftp://secret@sentry.example.com/1", lambda env: env.dsn(NAME)),
    ("https://secret@host:port/1", lambda env: env.dsn(NAME)),
    ("mysql://user:secret@host/name", lambda env: env.database(NAME, "sqlite:///x")),
    ("postgres://user:secret@host", lambda env: env.database(NAME, "sqlite:///x")),
    ("chat.db", lambda env: env.database(NAME, "sqlite:///x")),
    ("postgres://user:secret@host:port/name", lambda env: env.database(NAME, "sqlite:///x")),
    ("memcache://secret", lambda env: env.cache(NAME)),
    ("redis://:secret@host:port/0", lambda env: env.cache(NAME)),
    ("redis://:secret@/0", lambda env: env.cache(NAME)),
    ("redis://:secret@host/name", lambda env: env.cache(NAME)),
    ("redis://:secret@host/0#name", lambda env: env.cache(NAME)),
    ("secret", lambda env: env.cache(NAME)),
]


@pytest.mark.parametrize(("value", "read"), MALFORMED, ids=[value for value, _ in MALFORMED])
def test_it_refuses_a_malformed_value_by_name(
    env: Callable[[str], Env], value: str, read: Callable[[Env], Any]
) -> None:
    with pytest.raises(ImproperlyConfigured) as error:
        read(env(value))
    assert NAME in str(error.value)
    assert "must" in str(error.value)
    assert value not in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(("value", "flag"), [("true", True), ("1", True), ("ON", True), ("no", False), ("", True)])
def test_it_reads_a_flag(env: Callable[[str], Env], value: str, flag: bool) -> None:
    assert env(value).flag(NAME, True) is flag


def test_it_reads_numbers_at_their_bounds(env: Callable[[str], Env]) -> None:
    assert env("0").rate(NAME, 1.0) == 0.0
    assert env(" 1.0 ").rate(NAME, 0.0) == 1.0
    assert env("64").integer(NAME, 8, 1, 64) == 64


def test_an_empty_value_is_the_default(env: Callable[[str], Env]) -> None:
    empty = env("  ")
    assert empty.text(NAME, "default") == "default"
    assert empty.rate(NAME, 0.25) == 0.25
    assert empty.names(NAME, ["a", "b"]) == ["a", "b"]
    assert empty.dsn(NAME) == ""
    assert empty.database(NAME, "sqlite:///x.sqlite3")["NAME"] == "x.sqlite3"


def test_it_reads_a_comma_list(env: Callable[[str], Env]) -> None:
    assert env(" a, b ,,c,").names(NAME, []) == ["a", "b", "c"]


def test_it_reads_a_dsn(env: Callable[[str], Env]) -> None:
    dsn = "https://0123456789abcdef@o1.ingest.sentry.io/42"
    assert env(dsn).dsn(NAME) == dsn


@pytest.mark.parametrize("host", ["[::1]:9000", "[2001:db8::5]", "a" * 70])
def test_it_refuses_a_dsn_that_the_sdk_could_not_send_to(env: Callable[[str], Env], host: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="no HOST"):
        env(f"https://0123456789abcdef@{host}/42").dsn(NAME)


@pytest.mark.parametrize(
    ("url", "host"),
    [("postgres://u:p@db:5432/chat", "db"), ("postgresql://u:p@db/chat", "db")],
)
def test_it_reads_a_database_url(env: Callable[[str], Env], url: str, host: str) -> None:
    config = env(url).database(NAME, "sqlite:///x")
    assert (config["ENGINE"], config["NAME"], config["HOST"]) == ("django.db.backends.postgresql", "chat", host)


def test_it_takes_a_sqlite_file_by_absolute_path(env: Callable[[str], Env]) -> None:
    assert env("sqlite:////var/lib/chat.sqlite3").database(NAME, "")["NAME"] == "/var/lib/chat.sqlite3"


@pytest.mark.parametrize(
    ("url", "backend"), [("", "db.DatabaseCache"), ("locmem://", "locmem.LocMemCache"), (" ", "db.DatabaseCache")]
)
def test_it_reads_a_cache_url(env: Callable[[str], Env], url: str, backend: str) -> None:
    assert env(url).cache(NAME)["BACKEND"] == f"django.core.cache.backends.{backend}"


@pytest.mark.parametrize("url", ["redis://cache", "rediss://:secret,2@cache:6380/1", "redis://user:secret@[::1]/"])
def test_redis_needs_its_package(env: Callable[[str], Env], url: str) -> None:
    if find_spec("redis"):
        config = env(url).cache(NAME)
        assert config["BACKEND"] == "django.core.cache.backends.redis.RedisCache"
        assert config["LOCATION"] == [url]
    else:
        with pytest.raises(ImproperlyConfigured, match=f"{NAME}.*pip install redis") as error:
            env(url).cache(NAME)
        assert "secret" not in str(error.value)


def test_it_takes_a_url_without_its_last_slash() -> None:
    assert http_url(NAME, "https://api.example.com/v1/") == "https://api.example.com/v1"


@pytest.mark.parametrize("url", ["", "api.example.com", "file:///etc/passwd", "https://u:secret@x", "http://x:0x1"])
def test_it_refuses_what_is_no_http_url(url: str) -> None:
    with pytest.raises(ImproperlyConfigured) as error:
        http_url(NAME, url)
    assert NAME in str(error.value)
    assert "secret" not in str(error.value)
