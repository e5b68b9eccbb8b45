"""`manage.py create_api_key`: the key alone on stdout."""

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from chatproject.apikeys.auth import authenticate
from chatproject.apikeys.models import ApiKey

pytestmark = pytest.mark.django_db


def create(*arguments: str) -> str:
    out = StringIO()
    call_command("create_api_key", *arguments, stdout=out)
    return out.getvalue()


def test_it_prints_the_key_alone() -> None:
    printed = create("laptop")
    assert printed.endswith("\n")
    key = authenticate(printed.strip())
    assert key is not None
    assert key.name == "laptop"


def test_it_makes_the_user_who_cannot_log_in_with_a_password() -> None:
    create("laptop")
    user = User.objects.get(username="laptop")
    assert not user.has_usable_password()
    assert not user.is_staff


def test_it_takes_the_user_that_is_there() -> None:
    user = User.objects.create_user("laptop", password="kept")
    create("laptop")
    create("phone", "--user", "laptop")
    assert {key.user for key in ApiKey.objects.all()} == {user}
    user.refresh_from_db()
    assert user.check_password("kept")


def test_it_refuses_a_user_that_is_not_there() -> None:
    with pytest.raises(CommandError, match="no user 'nobody'"):
        create("laptop", "--user", "nobody")
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("name", ["", "  ", "x" * 101])
def test_it_refuses_a_name_that_does_not_fit(name: str) -> None:
    with pytest.raises(CommandError, match="1 to 100"):
        create(name)
    assert not User.objects.exists()
