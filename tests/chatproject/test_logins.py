"""Logging in to the admin: guesses are slowed down, and tell nothing about who there is."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import User
from django.core.cache import cache
from django.http import HttpRequest
from django.test import Client as Browser

from chatproject.logins import OF_ADDRESS, OF_NAME, OF_PAIR, WINDOW, address_of
from tests.fakes.client import TIMEOUT
from tests.fakes.ingest import Ingest
from tests.fakes.server import Server

PASSWORD = "a-password-of-the-tests"
LOGIN = "/admin/login/?next=/admin/"
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')


@pytest.fixture(autouse=True)
def root(db: None, settings: Any) -> User:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the real one takes its time
    cache.clear()
    return User.objects.create_superuser("root", password=PASSWORD)


def attempt(browser: Browser, name: str, password: str, address: str = "192.0.2.1") -> Any:
    return browser.post(LOGIN, {"username": name, "password": password}, REMOTE_ADDR=address)


def guess(name: str, times: int, address: str = "192.0.2.1") -> list[int]:
    return [attempt(Browser(), name, f"wrong {number}", address).status_code for number in range(times)]


def test_the_right_password_opens_the_admin(root: User) -> None:
    for _ in range(OF_PAIR * 2):  # and takes no place
        assert attempt(Browser(), "root", PASSWORD).status_code == 302


@pytest.mark.parametrize("name", ["root", "nobody"])
def test_a_few_guesses_are_answered_and_then_none(name: str) -> None:
    assert guess(name, OF_PAIR + 2) == [200] * OF_PAIR + [429] * 2
    refused = attempt(Browser(), name, PASSWORD)
    assert (refused.status_code, refused["Retry-After"]) == (429, str(WINDOW))
    assert "Too many attempts" in refused.content.decode()
    assert refused.wsgi_request.user.is_anonymous


def test_the_real_admin_gets_in_from_another_address() -> None:
    guess("root", OF_PAIR + 1)
    assert attempt(Browser(), "root", PASSWORD, "198.51.100.7").status_code == 302


def test_a_known_browser_gets_in_whoever_else_guesses() -> None:
    mine = Browser()
    assert attempt(mine, "root", PASSWORD).status_code == 302
    mine.post("/admin/logout/")
    for number in range(OF_NAME // OF_PAIR):
        guess("root", OF_PAIR, f"203.0.113.{number}")
    assert guess("root", 1, "203.0.113.250") == [429], "no other browser, wherever it is"
    assert attempt(mine, "root", PASSWORD).status_code == 302


def test_a_known_browser_cannot_guess_for_ever_nor_other_names() -> None:
    mine = Browser()
    attempt(mine, "root", PASSWORD)
    mine.post("/admin/logout/")
    assert [attempt(mine, "root", "wrong").status_code for _ in range(20)].count(200) < 20
    assert [attempt(mine, "other", "wrong").status_code for _ in range(OF_PAIR + 1)][-1] == 429
    mine.cookies["known_browser"] = "forged:value:here"
    assert [attempt(mine, "root", "wrong", "192.0.2.9").status_code for _ in range(OF_PAIR + 1)][-1] == 429


def test_one_address_cannot_try_many_names() -> None:
    found = [attempt(Browser(), f"name{number}", "wrong").status_code for number in range(OF_ADDRESS + 1)]
    assert found == [200] * OF_ADDRESS + [429]


def test_a_place_is_free_again(root: User) -> None:
    guess("root", OF_PAIR)
    cache.clear()  # what time does
    assert attempt(Browser(), "root", PASSWORD).status_code == 302


def test_an_empty_form_is_no_attempt() -> None:
    assert {attempt(Browser(), "root", "").status_code for _ in range(OF_PAIR * 2)} == {200}


class CountingHasher(MD5PasswordHasher):
    hashed = 0

    def encode(self, *args: Any) -> str:
        CountingHasher.hashed += 1
        return super().encode(*args)


def test_nobody_gets_another_answer_than_somebody_unknown(settings: Any) -> None:
    """Neither in words nor in time, which is that of the hash: every attempt costs one."""
    User.objects.create_user("zz-inactive", password=PASSWORD, is_staff=True, is_active=False)
    User.objects.create_user("zz-plain", password=PASSWORD)
    User.objects.create_superuser("zz-boss", password=PASSWORD)
    User.objects.create_user("zz-keyonly")
    settings.PASSWORD_HASHERS = ["tests.chatproject.test_logins.CountingHasher"]
    pages, hashes = {}, {}
    for name, password in (
        ("zz-unknown", "x"),
        ("zz-boss", "x"),
        ("zz-inactive", PASSWORD),
        ("zz-plain", PASSWORD),
        ("zz-keyonly", "x"),
    ):
        CountingHasher.hashed = 0
        page = attempt(Browser(), name, password, f"192.0.2.{len(pages)}").content.decode()
        hashes[name] = CountingHasher.hashed
        pages[name] = TOKEN.sub("", page).replace(name, "NAME")
    assert len(set(pages.values())) == 1, pages
    assert set(hashes.values()) == {1}, hashes


@pytest.mark.parametrize(
    ("proxies", "header", "address"),
    [
        (0, "198.51.100.1", "192.0.2.1"),
        (1, "198.51.100.1", "198.51.100.1"),
        (1, "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        (2, "6.6.6.6, 198.51.100.1, 10.0.0.1", "198.51.100.1"),
        (2, "198.51.100.1", "192.0.2.1"),
        (1, "", ""),
        (1, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (1, "nonsense", "nonsense"),
    ],
)
def test_an_address_is_what_trusted_proxies_say(settings: Any, proxies: int, header: str, address: str) -> None:
    settings.TRUSTED_PROXIES = proxies
    request = HttpRequest()
    request.META = {"REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_FOR": header}
    assert address_of(request) == address


def test_guesses_at_once_get_no_more_places(server: Server, server_ingest: Ingest) -> None:
    """On a real server, and what was typed stays out of its log and of Sentry."""
    canary = "canary-password-0198c9b2"

    def one(number: int) -> int:
        with httpx2.Client(base_url=server.url, timeout=TIMEOUT, trust_env=False) as browser:
            found = TOKEN.search(browser.get(LOGIN).text)
            assert found
            form = {"username": "parallel", "password": canary, "csrfmiddlewaretoken": found[1]}
            return browser.post(LOGIN, data=form).status_code

    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(one, range(12)))
    assert sorted(statuses) == [200] * OF_PAIR + [429] * (12 - OF_PAIR)
    assert canary not in server.log()
    assert not any(canary.encode() in body for body in server_ingest.raw)


@pytest.mark.parametrize(
    ("seen", "address"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("[2001:db8::1]:4711", "2001:db8::/64"),
        ("[2001:db8::1]", "2001:db8::/64"),
        ("2001:db8::1", "2001:db8::/64"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_one_client_is_one_address_however_it_is_written(seen: str, address: str) -> None:
    request = HttpRequest()
    request.META["REMOTE_ADDR"] = seen
    assert address_of(request) == address
