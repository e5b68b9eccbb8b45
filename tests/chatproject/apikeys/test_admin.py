"""API keys in the admin: made, rotated, shown once, limited, revoked."""

import re
from decimal import Decimal
from uuid import uuid4

import pytest
from django.contrib.admin import site
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.core import serializers
from django.http import HttpRequest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from chatproject.apikeys import ledger
from chatproject.apikeys.admin import ApiKeyAdmin
from chatproject.apikeys.auth import authenticate
from chatproject.apikeys.models import LIMITS, ApiKey, LedgerEntry

LIST = "/admin/apikeys/apikey/"
ADD = f"{LIST}add/"
KEY = re.compile(r"ck_[A-Za-z0-9]{8}_[A-Za-z0-9]{32,}")

pytestmark = pytest.mark.django_db


def staff(*permissions: str) -> Client:
    user = User.objects.create(username="staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def issue(user: User, name: str = "laptop") -> tuple[ApiKey, str]:
    return ApiKey.objects.issue(user=user, name=name)


def create(client: Client, user: User, name: str = "laptop") -> str:
    """Creates a key in the admin and returns it as the page shows it."""
    response = client.post(ADD, {"name": name, "user": user.pk, "scopes": ["chat", "read"]})
    assert response.status_code == 200
    page = response.content.decode()
    found = KEY.search(page)
    assert found
    assert page.count(found[0].split("_")[2]) == 1
    return found[0]


def column(client: Client, name: str) -> list[str]:
    page = client.get(LIST).content.decode()
    return re.findall(rf'<td class="field-{name}[^"]*">(.*?)</td>', page)


# --- creating


def test_the_form_asks_for_no_secret(admin_client: Client) -> None:
    page = admin_client.get(ADD).content.decode()
    fields = set(re.findall(r'<(?:input|select|textarea)[^>]* name="(\w+)"', page))
    assert fields == {"csrfmiddlewaretoken", "name", "user", "_save", "scopes", "expires_at_0", "expires_at_1", *LIMITS}


def test_a_created_key_opens_the_api_for_its_user(admin_client: Client, owner: User) -> None:
    plain = create(admin_client, owner, "laptop")
    key = authenticate(plain)
    assert key is not None
    assert (key.user, key.name) == (owner, "laptop")
    assert ApiKey.objects.count() == 1


def test_the_key_is_shown_once_and_kept_nowhere(
    admin_client: Client, owner: User, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    response = admin_client.post(ADD, {"name": "laptop", "user": owner.pk, "scopes": ["chat"]})
    plain = KEY.findall(response.content.decode())[0]
    secret = plain.split("_")[2]
    assert "no-store" in response.headers["Cache-Control"]

    key = ApiKey.objects.get()
    for address in (LIST, f"{LIST}{key.pk}/change/", f"{LIST}{key.pk}/history/", f"{LIST}{key.pk}/delete/", "/admin/"):
        page = admin_client.get(address)
        assert page.status_code == 200
        assert secret not in page.content.decode(), address
    assert secret not in str(response.headers.items())
    assert secret not in str(admin_client.cookies.items())
    assert secret not in str([session.get_decoded() for session in Session.objects.all()])
    assert secret not in serializers.serialize("json", [*ApiKey.objects.all(), *LogEntry.objects.all()])
    assert secret not in caplog.text
    assert secret not in "".join(capfd.readouterr())


def test_the_name_of_a_new_key_is_never_markup(admin_client: Client, owner: User) -> None:
    response = admin_client.post(ADD, {"name": "<script>alert(1)</script>", "user": owner.pk, "scopes": ["chat"]})
    page = response.content.decode()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>" not in page  # the admin's own have attributes


def test_the_creation_is_in_the_admins_log(admin_client: Client, owner: User) -> None:
    create(admin_client, owner, "laptop")
    entry = LogEntry.objects.get()
    key = ApiKey.objects.get()
    assert entry.is_addition()
    assert entry.object_id == str(key.pk)
    assert entry.object_repr == f"laptop (ck_{key.prefix}_…)"


@pytest.mark.parametrize("name", ["", "   ", "x" * 101])
def test_it_refuses_a_bad_name(admin_client: Client, owner: User, name: str) -> None:
    response = admin_client.post(ADD, {"name": name, "user": owner.pk, "scopes": ["chat"]})
    assert "Please correct the error below" in response.content.decode()
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("user", ["", "987654"])
def test_it_refuses_a_user_who_is_not_there(admin_client: Client, user: str) -> None:
    response = admin_client.post(ADD, {"name": "laptop", "user": user, "scopes": ["chat"]})
    assert "Please correct the error below" in response.content.decode()
    assert not ApiKey.objects.exists()


def test_it_refuses_a_user_whose_key_would_not_work(admin_client: Client) -> None:
    gone = User.objects.create(username="gone", is_active=False)
    response = admin_client.post(ADD, {"name": "laptop", "user": gone.pk, "scopes": ["chat"]})
    assert "This user is not active" in response.content.decode()
    assert not ApiKey.objects.exists()


# --- the list


def test_it_lists_keys_with_their_state(admin_client: Client, owner: User) -> None:
    gone = User.objects.create(username="gone", is_active=False)
    issue(gone, "of nobody")
    issue(owner, "old")[0].revoke()
    key, plain = issue(owner, "new")
    assert column(admin_client, "state") == ["Active", "Revoked", "User is not active"]
    assert column(admin_client, "user") == ["owner", "owner", "gone"]
    assert column(admin_client, "prefix")[0] == key.prefix
    assert column(admin_client, "last_used_at") == ["-", "-", "-"]
    authenticate(plain)
    assert column(admin_client, "last_used_at")[0] != "-"


def test_it_filters_by_state(admin_client: Client, owner: User) -> None:
    issue(owner, "old one")[0].revoke()
    issue(owner, "new one")
    for value, shown, hidden in (("yes", "old one", "new one"), ("no", "new one", "old one")):
        page = admin_client.get(LIST, {"revoked": value}).content.decode()
        assert f">{shown}</a>" in page
        assert f">{hidden}</a>" not in page


@pytest.mark.parametrize("by", ["name", "user", "prefix"])
def test_it_finds_a_key(admin_client: Client, owner: User, by: str) -> None:
    key, _ = issue(owner, "wanted")
    issue(User.objects.create(username="somebody"), "other")
    term = {"name": "wanted", "user": "owner", "prefix": key.prefix}[by]
    page = admin_client.get(LIST, {"q": term}).content.decode()
    assert ">wanted</a>" in page
    assert ">other</a>" not in page


def test_the_list_asks_the_database_as_often_for_50_keys_as_for_5(
    admin_client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for first, end in ((0, 5), (5, 50)):
        for number in range(first, end):
            issue(User.objects.create(username=f"user{number}"))
        with django_assert_num_queries(4):  # session, user, count, page
            admin_client.get(LIST)
        assert len(column(admin_client, "state")) == end


# --- afterwards


def test_not_even_a_superuser_can_give_a_key_to_another_user(admin_client: Client, owner: User) -> None:
    key, plain = issue(owner)
    page = admin_client.get(f"{LIST}{key.pk}/change/").content.decode()
    assert not re.search(r'<(input|select)[^>]* name="(name|user)"', page)
    assert key.key_hash not in page
    other = User.objects.create(username="other")
    admin_client.post(f"{LIST}{key.pk}/change/", {"name": "changed", "user": other.pk, "scopes": ["chat"]})
    found = authenticate(plain)
    assert found is not None
    assert (found.name, found.user, found.scopes) == ("laptop", owner, ["chat"])


def test_scopes_expiry_and_limits_can_be_changed(admin_client: Client, owner: User) -> None:
    key, plain = issue(owner)
    form = {"scopes": ["read"], "expires_at_0": "2999-01-01", "expires_at_1": "00:00", "budget_day_usd": "2.5"}
    admin_client.post(f"{LIST}{key.pk}/change/", form)
    found = authenticate(plain)
    assert found is not None
    assert (found.scopes, found.budget_day_usd, found.tokens_per_minute) == (["read"], Decimal("2.5"), None)
    assert found.expires_at is not None
    for wrong in ({"scopes": []}, {"scopes": ["read"], "budget_day_usd": "-1"}):
        assert "errorlist" in admin_client.post(f"{LIST}{key.pk}/change/", wrong).content.decode()


def rotate(client: Client, *keys: ApiKey) -> str:
    """Rotates in the admin and returns the page that follows."""
    chosen = {"action": "rotate", "_selected_action": [str(key.pk) for key in keys]}
    return client.post(LIST, chosen, follow=True).content.decode()


def test_a_rotated_key_is_shown_once_and_the_old_one_works_on(admin_client: Client, owner: User) -> None:
    key, old = issue(owner)
    page = rotate(admin_client, key)
    found = KEY.search(page)
    assert found
    assert page.count(found[0].split("_")[2]) == 1
    assert authenticate(found[0]) == authenticate(old) == key
    assert LogEntry.objects.get().get_change_message() == "Rotated."
    assert sorted(column(admin_client, "state")) == ["Active", "Replaced"]
    assert found[0].split("_")[2] not in admin_client.get(LIST).content.decode()


def test_only_one_key_that_lives_can_be_rotated(admin_client: Client, owner: User) -> None:
    (one, _), (two, _) = issue(owner, "one"), issue(owner, "two")
    two.revoke()
    for chosen in ((one, two), (two,)):
        page = rotate(admin_client, *chosen)
        assert "Choose one key" in page
        assert not KEY.search(page)
    assert ApiKey.objects.count() == 2


def test_a_replaced_secret_has_nothing_to_change(admin_client: Client, owner: User) -> None:
    key, old = issue(owner)
    rotate(admin_client, key)
    replaced = ApiKey.objects.get(prefix=old.split("_")[1])
    assert admin_client.post(f"{LIST}{replaced.pk}/change/", {"scopes": ["chat"]}).status_code == 403


def test_a_key_shows_what_it_has_spent_and_its_entries(admin_client: Client, owner: User) -> None:
    key, _ = issue(owner)
    ApiKey.objects.update(budget_day_usd=9)
    key.refresh_from_db()
    spent, held = uuid4(), uuid4()
    for turn in (spent, held):
        ledger.reserve(key, turn, 1, Decimal("0.5"))
    ledger.settle(spent, 1, Decimal("0.25"))
    page = admin_client.get(f"{LIST}{key.pk}/change/").content.decode()
    assert page.count("$0.2500, and $0.5000 reserved by turns under way") == 2
    [address] = re.findall(r'href="([^"]*key__id__exact=[^"]*)"', page)
    entries = admin_client.get(address).content.decode()
    assert str(spent) in entries
    assert str(held) in entries
    assert "0.25" in entries


def test_nobody_can_change_the_ledger(admin_client: Client, owner: User) -> None:
    key, _ = issue(owner)
    ApiKey.objects.update(budget_day_usd=9)
    key.refresh_from_db()
    turn = uuid4()
    ledger.reserve(key, turn, 1, Decimal("0.5"))
    entries = "/admin/apikeys/ledgerentry/"
    assert admin_client.get(f"{entries}{turn}/change/").status_code == 200
    for address in (f"{entries}add/", f"{entries}{turn}/change/", f"{entries}{turn}/delete/"):
        assert admin_client.post(address, {"cost": 0, "post": "yes"}).status_code == 403
    admin_client.post(f"{LIST}{key.pk}/delete/", {"post": "yes"})
    assert LedgerEntry.objects.count() == ApiKey.objects.count() == 1, "what was spent cannot be deleted with its key"


def revoke(client: Client, *keys: ApiKey) -> str:
    """Revokes in the admin and returns the message that follows."""
    chosen = {"action": "revoke", "_selected_action": [str(key.pk) for key in keys]}
    response = client.post(LIST, chosen, follow=True)
    found = re.search(r'<li class="success">(.*?)</li>', response.content.decode())
    return found[1] if found else ""


def test_a_revoked_key_is_refused(admin_client: Client, owner: User) -> None:
    (one, plain), (two, _), (kept, kept_plain) = (issue(owner, name) for name in ("one", "two", "kept"))
    message = revoke(admin_client, one, two)
    assert message == "2 keys were revoked. A revoked key is refused within seconds."
    assert authenticate(plain) is None
    assert authenticate(kept_plain) == kept
    entries = LogEntry.objects.filter(object_id=str(one.pk))
    assert [entry.get_change_message() for entry in entries] == ["Revoked."]


def test_revoking_twice_changes_nothing(admin_client: Client, owner: User) -> None:
    key, _ = issue(owner)
    assert revoke(admin_client, key).startswith("1 key was revoked.")
    key.refresh_from_db()
    first = key.revoked_at
    assert revoke(admin_client, key).startswith("0 keys were revoked.")
    key.refresh_from_db()
    assert key.revoked_at == first
    assert LogEntry.objects.count() == 1


# --- who may do what


def test_revoking_needs_the_permission_to_change(owner: User) -> None:
    key, plain = issue(owner)
    viewer = staff("view_apikey")
    assert "Revoke selected keys" not in viewer.get(LIST).content.decode()
    assert revoke(viewer, key) == ""
    assert authenticate(plain) == key


def test_staff_with_the_permission_can_revoke(owner: User) -> None:
    key, plain = issue(owner)
    assert revoke(staff("change_apikey"), key).startswith("1 key was revoked.")
    assert authenticate(plain) is None


def test_creating_needs_the_permission_to_add(owner: User) -> None:
    viewer = staff("view_apikey")
    assert viewer.get(ADD).status_code == 403
    assert viewer.post(ADD, {"name": "laptop", "user": owner.pk}).status_code == 403
    assert not ApiKey.objects.exists()


def test_only_a_superuser_can_delete(admin_client: Client, owner: User) -> None:
    key, _ = issue(owner)
    deleter = staff("view_apikey", "delete_apikey")
    chosen = {"action": "delete_selected", "_selected_action": str(key.pk), "post": "yes"}
    deleter.post(LIST, chosen)
    assert deleter.post(f"{LIST}{key.pk}/delete/", {"post": "yes"}).status_code == 403
    assert ApiKey.objects.exists()
    admin_client.post(LIST, chosen)
    assert not ApiKey.objects.exists()


def test_nobody_without_a_login_sees_anything(owner: User) -> None:
    issue(owner)
    for address in (LIST, ADD):
        response = Client().get(address)
        assert response.status_code == 302
        assert response.headers["Location"].startswith("/admin/login/")


def test_saving_a_key_does_not_undo_what_happened_to_it_meanwhile(admin_client: Client, owner: User) -> None:
    key, _ = issue(owner)
    stale = ApiKey.objects.get(pk=key.pk)
    key.revoke()
    stale.scopes = ["read"]
    ApiKeyAdmin(ApiKey, site).save_model(HttpRequest(), stale, None, change=True)
    key.refresh_from_db()
    assert (key.scopes, key.revoked_at is not None) == (["read"], True)
