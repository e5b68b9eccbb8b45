"""API keys: only their hash is stored, and only the whole key opens."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from chatproject.apikeys.auth import authenticate
from chatproject.apikeys.models import ApiKey


@pytest.fixture
def owner(db: None) -> User:
    return User.objects.create(username="owner")


def test_a_key_looks_as_documented_and_is_not_stored(owner: User) -> None:
    key, plain = ApiKey.objects.issue(user=owner, name="laptop")
    head, prefix, secret = plain.split("_")
    assert (head, prefix) == ("ck", key.prefix)
    assert len(prefix) == 8
    assert len(secret) >= 32
    stored = ApiKey.objects.filter(pk=key.pk).values().get()
    assert secret not in str(stored)
    assert len(stored["key_hash"]) == 64


def test_two_keys_share_nothing(owner: User) -> None:
    plains = {ApiKey.objects.issue(user=owner, name="same")[1] for _ in range(20)}
    assert len({plain[:11] for plain in plains}) == len({plain[12:] for plain in plains}) == 20


def test_it_finds_the_key_and_its_user(owner: User) -> None:
    key, plain = ApiKey.objects.issue(user=owner, name="laptop")
    found = authenticate(plain)
    assert found == key
    assert found.user == owner


@pytest.mark.parametrize(
    "change",
    [
        lambda plain: plain[:-1],
        lambda plain: plain + "x",
        lambda plain: plain[:-1] + ("a" if plain[-1] != "a" else "b"),
        lambda plain: plain.swapcase(),
        lambda plain: plain.replace("ck_", "", 1),
        lambda plain: plain.split("_")[2],
        lambda plain: plain[:12],
        lambda plain: "ck_unknown0_" + plain[12:],
        lambda plain: plain + "\x00",
        lambda plain: plain + "ä",
        lambda plain: "",
        lambda plain: "ck__",
    ],
)
def test_it_refuses_everything_but_the_whole_key(owner: User, change: object) -> None:
    _, plain = ApiKey.objects.issue(user=owner, name="laptop")
    assert authenticate(change(plain)) is None  # type: ignore[operator]


def test_a_wrong_secret_takes_the_path_of_an_unknown_prefix(
    owner: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """So that no timing tells which prefixes there are."""
    _, plain = ApiKey.objects.issue(user=owner, name="laptop")
    for wrong in (plain[:-1] + "-", "ck_unknown0_" + plain[12:]):
        with django_assert_num_queries(1) as asked:
            assert ApiKey.objects.find(wrong) is None
        assert "key_hash" in asked.captured_queries[0]["sql"].split("WHERE")[1]


def test_it_refuses_an_expired_key(owner: User) -> None:
    key, plain = ApiKey.objects.issue(user=owner, name="laptop", expires_at=timezone.now() + timedelta(minutes=1))
    assert authenticate(plain) == key
    ApiKey.objects.update(expires_at=timezone.now())
    assert authenticate(plain) is None


def test_it_refuses_a_revoked_key(owner: User) -> None:
    key, plain = ApiKey.objects.issue(user=owner, name="laptop")
    key.revoke()
    assert authenticate(plain) is None


def test_revoking_again_keeps_the_first_time(owner: User) -> None:
    key, _ = ApiKey.objects.issue(user=owner, name="laptop")
    key.revoke()
    first = key.revoked_at
    key.revoke()
    key.refresh_from_db()
    assert key.revoked_at == first


def test_it_refuses_the_key_of_an_inactive_user(owner: User) -> None:
    _, plain = ApiKey.objects.issue(user=owner, name="laptop")
    owner.is_active = False
    owner.save()
    assert authenticate(plain) is None


def test_it_notes_when_a_key_was_used_to_the_minute(owner: User) -> None:
    key, plain = ApiKey.objects.issue(user=owner, name="laptop")
    assert key.last_used_at is None
    authenticate(plain)
    key.refresh_from_db()
    used = key.last_used_at
    assert used is not None
    assert timezone.now() - used < timedelta(seconds=30)
    authenticate(plain)
    key.refresh_from_db()
    assert key.last_used_at == used, "no write for every request"
    ApiKey.objects.filter(pk=key.pk).update(last_used_at=used - timedelta(hours=1))
    authenticate(plain)
    key.refresh_from_db()
    assert key.last_used_at is not None
    assert key.last_used_at >= used


def test_a_refused_key_is_not_noted_as_used(owner: User) -> None:
    key, plain = ApiKey.objects.issue(user=owner, name="laptop")
    key.revoke()
    authenticate(plain)
    key.refresh_from_db()
    assert key.last_used_at is None


def test_its_name_in_the_admin_does_not_open_anything(owner: User) -> None:
    key, plain = ApiKey.objects.issue(user=owner, name="laptop")
    assert str(key) == f"laptop (ck_{key.prefix}_…)"
    assert plain.split("_")[2] not in f"{key} {key!r}"
