"""Rotation: a key gets a new secret, the old one works on for a while, and both are one key with one budget."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from chatproject.apikeys import ledger
from chatproject.apikeys.auth import authenticate
from chatproject.apikeys.models import ApiKey
from chatproject.problems import Problem

DAY = timedelta(days=1)


@pytest.fixture
def old(owner: User) -> str:
    """The plain text of a key that may spend a dollar a day."""
    return ApiKey.objects.issue(user=owner, name="laptop", scopes=["chat"], budget_day_usd=1, requests_per_minute=9)[1]


def rotate(plain: str, overlap: timedelta = DAY) -> str:
    return ApiKey.objects.rotate(plain.split("_")[1], overlap=overlap)[1]


def test_the_new_secret_is_the_same_key(old: str) -> None:
    before = authenticate(old)
    new = rotate(old)
    assert new.split("_")[1] != old.split("_")[1]
    after = authenticate(new)
    assert before is not None
    assert after is not None
    assert (after.pk, after.user, after.name, after.scopes) == (before.pk, before.user, "laptop", ["chat"])
    assert (after.budget_day_usd, after.requests_per_minute) == (1, 9)
    assert authenticate(old) == after


def test_both_share_one_budget_and_one_rate(old: str) -> None:
    new = rotate(old)
    keys = [authenticate(plain) for plain in (old, new)]
    assert [key.rate.remaining for key in keys if key and key.rate] == [8, 7]
    for key in keys:
        assert key is not None
        ledger.reserve(key, uuid4(), 1, Decimal("0.5"))
    for key in keys:
        assert key is not None
        with pytest.raises(Problem, match="budget_exhausted"), transaction.atomic():
            ledger.reserve(key, uuid4(), 1, Decimal("0.01"))


def test_the_old_secret_ends_with_the_overlap(old: str) -> None:
    new = rotate(old)
    retired = ApiKey.objects.get(prefix=old.split("_")[1])
    assert retired.expires_at is not None
    assert abs(retired.expires_at - timezone.now() - DAY) < timedelta(minutes=1)
    ApiKey.objects.filter(pk=retired.pk).update(expires_at=timezone.now())
    assert authenticate(old) is None
    assert authenticate(new) is not None


def test_no_overlap_ends_it_at_once(old: str) -> None:
    new = rotate(old, timedelta())
    assert authenticate(old) is None
    assert authenticate(new) is not None


def test_the_overlap_lengthens_no_life(owner: User) -> None:
    soon = timezone.now() + timedelta(hours=1)
    _, old = ApiKey.objects.issue(user=owner, name="laptop", expires_at=soon)
    ApiKey.objects.rotate(old.split("_")[1], overlap=DAY, expires_at=soon + DAY)
    assert set(ApiKey.objects.values_list("expires_at", flat=True)) == {soon, soon + DAY}


def test_rotating_again_leaves_all_earlier_secrets_to_their_overlaps(old: str) -> None:
    second = rotate(old)
    third = rotate(second)
    assert len({authenticate(plain) for plain in (old, second, third)}) == 1
    assert authenticate(old) is not None


def test_revoking_the_key_ends_all_its_secrets(old: str) -> None:
    new = rotate(old)
    key = authenticate(new)
    assert key is not None
    key.revoke()
    assert authenticate(old) is None
    assert authenticate(new) is None


def test_revoking_the_old_secret_ends_the_overlap_alone(old: str) -> None:
    new = rotate(old)
    ApiKey.objects.get(prefix=old.split("_")[1]).revoke()
    assert authenticate(old) is None
    assert authenticate(new) is not None


def test_a_replaced_a_revoked_and_an_unknown_key_cannot_be_rotated(old: str) -> None:
    new = rotate(old)
    with pytest.raises(ApiKey.DoesNotExist):
        rotate(old)
    ApiKey.objects.get(prefix=new.split("_")[1]).revoke()
    for plain in (new, "ck_unknown0_x"):
        with pytest.raises(ApiKey.DoesNotExist):
            rotate(plain)


def test_the_old_secret_ends_with_the_key_that_has_replaced_it(old: str) -> None:
    key, _ = ApiKey.objects.rotate(old.split("_")[1], overlap=DAY)
    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    replaced = ApiKey.objects.get(replaced_by=key)
    assert not replaced.usable
    assert replaced.state == "Expired"
