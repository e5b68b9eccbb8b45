"""The circuits in the admin."""

import re
import time
from collections.abc import Iterator
from io import StringIO

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.cache.backends.db import DatabaseCache
from django.core.management import call_command
from django.test import Client as Browser

from providers import breaker
from providers.circuit_store import Store
from providers.circuits import Circuit, Key

PATH = "/admin/providers/circuit/"
KEY = Key("local", "smollm2-135m-instruct")


@pytest.fixture(autouse=True)
def store(db: None) -> Iterator[Store]:
    """What the workers share: an open circuit, and one that has failures and is closed."""
    breaker._make.cache_clear()
    store, now = Store(), time.time()
    failing = Circuit(failures=4, code="timeout", changed=now)
    store.write({KEY: failing._replace(failures=5).reopened(30, now), Key("local", "<another>"): failing})
    yield store
    breaker._make.cache_clear()


def staff(*permissions: str) -> Browser:
    user = User.objects.create(username="staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    browser = Browser()
    browser.force_login(user)
    return browser


def test_it_lists_the_circuits_that_are_not_closed(admin_client: Browser) -> None:
    page = admin_client.get(PATH).content.decode()
    for text in (*KEY, "Open", "timeout", ">Close</button>"):
        assert text in page
    assert re.search(r"in [1-3]\d s", page)
    assert re.search(r'<td class="nowrap">\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC</td>', page)
    assert "another" not in page
    assert PATH in admin_client.get("/admin/").content.decode()


def test_a_superuser_closes_one_for_everyone(admin_client: Browser, store: Store) -> None:
    page = admin_client.post(PATH, {"provider": KEY.provider, "model": KEY.model}, follow=True).content.decode()
    assert "The circuit of local, smollm2-135m-instruct is closed." in page
    assert "All circuits are closed" in page
    assert KEY not in store.read()
    assert LogEntry.objects.get().object_repr == "local, smollm2-135m-instruct"


def test_a_half_open_circuit_says_so(admin_client: Browser, store: Store) -> None:
    circuit = store.read()[KEY]
    store.write({KEY: circuit._replace(until=time.time() - 1)})
    page = admin_client.get(PATH).content.decode()
    assert "Half open" in page
    assert "under way" in page


def test_staff_may_look_when_they_are_allowed_to(store: Store) -> None:
    browser = staff("view_circuit", "change_circuit", "delete_circuit")
    page = browser.get(PATH).content.decode()
    assert KEY.model in page
    assert "</button>" not in page[page.index("result_list") :]
    assert browser.post(PATH, {"provider": KEY.provider, "model": KEY.model}).status_code == 403
    assert KEY in store.read()


def test_nobody_else_may(store: Store) -> None:
    assert staff().get(PATH).status_code == 403
    assert Browser().get(PATH).status_code == 302
    assert Browser().post(PATH, {"provider": KEY.provider, "model": KEY.model}).status_code == 302
    assert KEY in store.read()


def test_a_form_without_a_csrf_token_is_refused(admin_client: Browser, store: Store) -> None:
    admin_client.handler.enforce_csrf_checks = True
    assert admin_client.post(PATH, {"provider": KEY.provider, "model": KEY.model}).status_code == 403
    assert KEY in store.read()


@pytest.mark.django_db(transaction=True)  # which the cache's error would end
def test_a_cache_that_is_away_is_told(admin_client: Browser) -> None:
    assert KEY.model in admin_client.get(PATH).content.decode()
    breaker.worker()._store._cache = DatabaseCache("no_such_table", {})
    page = admin_client.post(PATH, {"provider": KEY.provider, "model": KEY.model}, follow=True).content.decode()
    assert "for this worker alone" in page


@pytest.mark.parametrize("page", ["add/", "1/change/", "1/delete/", "1/history/"])
def test_there_are_no_pages_of_single_circuits(admin_client: Browser, page: str) -> None:
    assert admin_client.get(PATH + page).status_code in {302, 403}


def test_there_is_no_table_that_a_dump_could_miss() -> None:
    printed = StringIO()
    call_command("dumpdata", "providers", stdout=printed)
    assert printed.getvalue().strip() == "[]"
