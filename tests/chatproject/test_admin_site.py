"""The admin on a real server: its sessions, CSRF and messages pass through middleware of this project's own."""

import re
import secrets
from collections.abc import Iterator

import httpx2
import pytest

from tests.fakes.client import TIMEOUT, Client
from tests.fakes.database import manage
from tests.fakes.ingest import Ingest
from tests.fakes.server import Server
from tests.fakes.waiting import poll

USER, PASSWORD = "root", "a-password-of-the-tests"
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')


@pytest.fixture(scope="module")
def _superuser(server: Server) -> None:
    options = ("--noinput", "--username", USER, "--email", "root@example.com")
    manage(server.db.url, "createsuperuser", *options, DJANGO_SUPERUSER_PASSWORD=PASSWORD)


@pytest.fixture
def browser(server: Server, _superuser: None) -> Iterator[httpx2.Client]:
    """Keeps cookies and follows nothing."""
    with httpx2.Client(base_url=server.url, timeout=TIMEOUT, trust_env=False) as client:
        yield client


def token(browser: httpx2.Client, path: str) -> str:
    """The CSRF token in the form at `path`."""
    found = TOKEN.search(browser.get(path).text)
    assert found
    return found[1]


def log_in(browser: httpx2.Client, **changes: str) -> httpx2.Response:
    path = "/admin/login/?next=/admin/"
    form = {"username": USER, "password": PASSWORD, "csrfmiddlewaretoken": token(browser, path)}
    return browser.post(path, data={**form, **changes})


def test_logging_in_opens_the_admin(browser: httpx2.Client) -> None:
    assert browser.get("/admin/").headers["Location"] == "/admin/login/?next=/admin/"
    response = log_in(browser)
    assert (response.status_code, response.headers["Location"]) == (302, "/admin/")
    page = browser.get("/admin/")
    assert page.status_code == 200
    assert "AI chat" in page.text


def test_what_a_page_shows_does_not_go_to_sentry(browser: httpx2.Client, client: Client, server_ingest: Ingest) -> None:
    canary = f"canary{secrets.token_hex(8)}"
    turn = client.post("/api/chat", json={"message": canary}).json()
    log_in(browser)
    header = {"X-Request-ID": f"page-{secrets.token_hex(8)}"}
    page = browser.get(f"/admin/conversations/conversation/{turn['conversation_id']}/change/", headers=header)
    assert canary in page.text
    traced = poll(lambda: server_ingest.of_request(header["X-Request-ID"], "transaction"), 10, "the page's transaction")
    spans = traced[0]["spans"]
    assert "template.render" in {span["op"] for span in spans}
    assert not any(canary.encode() in body for body in server_ingest.raw)


def test_a_login_without_a_csrf_token_is_refused(browser: httpx2.Client) -> None:
    form = {"username": USER, "password": PASSWORD}
    assert browser.post("/admin/login/", data=form).status_code == 403
    assert log_in(browser, csrfmiddlewaretoken="x" * 64).status_code == 403
    assert browser.get("/admin/").status_code == 302


def test_a_wrong_password_is_refused(browser: httpx2.Client) -> None:
    response = log_in(browser, password="wrong")
    assert response.status_code == 200
    assert "Please enter the correct username and password" in response.text
    assert browser.get("/admin/").status_code == 302


def test_an_action_without_a_csrf_token_is_refused(browser: httpx2.Client) -> None:
    log_in(browser)
    form = {"name": "laptop", "user": "1"}
    assert browser.post("/admin/apikeys/apikey/add/", data=form).status_code == 403
    assert browser.post("/admin/logout/").status_code == 403
    assert browser.get("/admin/").status_code == 200


def test_a_message_is_shown_once_after_the_redirect(browser: httpx2.Client) -> None:
    log_in(browser)
    path = "/admin/apikeys/apikey/"
    form = {"action": "revoke", "_selected_action": "0", "csrfmiddlewaretoken": token(browser, path)}
    assert browser.post(path, data=form).headers["Location"] == path
    assert "0 keys were revoked." in browser.get(path).text
    assert "keys were revoked." not in browser.get(path).text


def test_logging_out_closes_the_admin(browser: httpx2.Client) -> None:
    log_in(browser)
    assert browser.post("/admin/logout/", data={"csrfmiddlewaretoken": token(browser, "/admin/")}).status_code == 200
    assert browser.get("/admin/").status_code == 302


def test_the_admin_cannot_be_framed(browser: httpx2.Client) -> None:
    assert browser.get("/admin/login/").headers["X-Frame-Options"] == "DENY"
