"""What a first start makes."""

import pytest
from django.contrib.auth import authenticate, get_user_model

from chatproject.apikeys import demo
from chatproject.apikeys.models import ApiKey

pytestmark = pytest.mark.django_db


def test_the_first_start_makes_a_key_and_an_admin_that_work() -> None:
    made = demo.create()
    assert made is not None
    key = ApiKey.objects.find(made.key)
    assert key is not None
    assert key.usable
    assert not key.user.is_staff
    admin = authenticate(username=made.username, password=made.password)
    assert admin is not None
    assert admin.is_superuser


def test_a_database_in_use_is_left_alone() -> None:
    get_user_model().objects.create_user("somebody")
    assert demo.create() is None
    assert get_user_model().objects.count() == 1
