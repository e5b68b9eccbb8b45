"""Whether the API has the event, asked of an API on the loopback."""

from collections.abc import Iterator
from typing import Any

import pytest

from chatproject.observability.doctor import probe
from chatproject.observability.doctor.storage import Storage, look_for
from chatproject.observability.doctor.verdicts import Outcome
from tests.fakes.sentry_api import CHAT, OTHER, TOKEN, SentryApi

EVENT = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def api() -> Iterator[SentryApi]:
    with SentryApi() as api:
        yield api


def look(api: SentryApi, seconds: float = 5, token: str = TOKEN, **where: str) -> Storage:
    from sentry_sdk import Client

    options = Client(dsn=api.dsn, default_integrations=False).options

    def get(path: str) -> Outcome:
        return probe.get(f"{api.url}/api/0/{path}", options, 5, {"Authorization": f"Bearer {token}"})

    where = {"organization": "", "project": "", "project_id": "1", "web_url": api.url, **where}
    return look_for(get, EVENT, seconds, **where)


def test_it_finds_the_project_by_the_number_in_the_dsn(api: SentryApi) -> None:
    found = look(api)
    assert found.state == "stored"
    assert found.project
    assert (found.project.slug, found.project.organization) == ("chat-staging", "acme")
    assert api.asked == ["/api/0/projects/", f"/api/0/projects/acme/chat-staging/events/{EVENT}/"]


def test_it_looks_through_all_pages_of_projects(api: SentryApi) -> None:
    api.page = 1
    assert look(api).state == "stored"
    assert api.asked[:2] == ["/api/0/projects/", "/api/0/projects/?cursor=1"]


def test_it_looks_only_in_the_organization_that_is_named(api: SentryApi) -> None:
    assert look(api, organization="another").state == "unknown"
    assert look(api, organization="acme").state == "stored"


def test_with_both_slugs_it_lists_nothing(api: SentryApi) -> None:
    assert look(api, organization="acme", project="chat-staging").state == "stored"
    assert "/api/0/projects/" not in api.asked


def test_it_asks_until_the_event_is_there(api: SentryApi) -> None:
    api.misses = 2
    assert look(api).state == "stored"
    assert len(api.asked) == 1 + 3


def test_it_stops_asking_in_time(api: SentryApi) -> None:
    api.misses = float("inf")
    found = look(api, seconds=0.5)
    assert (found.state, found.url) == ("not_stored", "")
    assert "does not have the event after 0.5 s" in found.reason
    assert "inbound filters" in found.fix
    assert found.project


def test_without_any_wait_it_asks_once(api: SentryApi) -> None:
    api.misses = 1
    assert look(api, seconds=0).state == "not_stored"
    assert len(api.asked) == 2


@pytest.mark.parametrize(
    ("event", "url"),
    [
        ({"groupID": "55"}, "{api}/organizations/acme/issues/55/events/{event}/"),
        ({"groupID": "55", "permalink": "https://acme.sentry.io/x"}, "https://acme.sentry.io/x"),
        ({"web": "https://acme.sentry.io/y"}, "https://acme.sentry.io/y"),
        ({"groupID": None}, ""),
        ({"permalink": "javascript:alert(1)"}, ""),
    ],
)
def test_it_links_the_event(api: SentryApi, event: dict[str, Any], url: str) -> None:
    api.event = event
    assert look(api).url == url.format(api=api.url, event=EVENT)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, b'{"detail": "You do not have permission"}', "refuses the token"),
        (500, b"", "failing or overloaded"),
        (429, b"{}", "does not answer"),
        (404, b"<html>Not Found", "no Sentry API"),
        (404, b'{"detail": "nothing here"}', "no Sentry API"),
        (200, b"<html>Log in", "no Sentry API"),
        (302, b"", "no Sentry API"),
        (200, b'{"projects": []}', "no Sentry API"),
    ],
)
def test_it_says_why_the_api_does_not_tell(api: SentryApi, status: int, body: bytes, words: str) -> None:
    api.forced = (status, {"Location": "/elsewhere"} if status == 302 else {}, body)
    found = look(api, seconds=0)
    assert found.state == "unknown"
    assert words in found.reason
    assert found.fix


def test_a_token_that_the_api_does_not_know_is_refused_at_once(api: SentryApi) -> None:
    found = look(api, token="wrong", seconds=30)
    assert (found.state, len(api.asked)) == ("unknown", 1)
    assert "project:read" in found.fix


def test_a_token_goes_to_no_other_server(api: SentryApi) -> None:
    with SentryApi() as elsewhere:
        api.forced = (307, {"Location": elsewhere.url}, b"")
        assert look(api).state == "unknown"
        assert elsewhere.asked == []


def test_a_project_that_the_token_does_not_see(api: SentryApi) -> None:
    api.projects = [OTHER]
    found = look(api)
    assert found.state == "unknown"
    assert "number 1" in found.reason


def test_slugs_that_name_no_project(api: SentryApi) -> None:
    found = look(api, organization="acme", project="nothing")
    assert found.state == "unknown"
    assert "acme/nothing" in found.reason


def test_slugs_of_another_project_than_the_dsns(api: SentryApi) -> None:
    found = look(api, organization="acme", project="shop")
    assert found.state == "unknown"
    assert found.project
    assert found.project.id == OTHER["id"] != CHAT["id"]


def test_trouble_that_passes_is_waited_out() -> None:
    answers = iter([Outcome(503), Outcome(failure="timeout"), Outcome(200, body=b'{"eventID": "%s"}' % EVENT.encode())])
    project = Outcome(200, body=b'{"id": "1", "slug": "chat"}')
    found = look_for(
        lambda path: next(answers) if "/events/" in path else project,
        EVENT,
        5,
        organization="acme",
        project="chat",
        project_id="1",
        web_url="",
    )
    assert found.state == "stored"
