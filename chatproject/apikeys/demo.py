"""What a first start needs to be of use at once: an API key, and an admin to read the conversations."""

import secrets
from typing import NamedTuple

from django.contrib.auth import get_user_model
from django.db import transaction

from chatproject.apikeys.models import ApiKey


class Demo(NamedTuple):
    key: str
    username: str
    password: str


@transaction.atomic
def create() -> Demo | None:
    """Makes the users `demo`, with a key, and `admin`; None when there is any user, so never in a database in use."""
    users = get_user_model().objects
    if users.exists():
        return None
    password = secrets.token_urlsafe(12)
    admin = users.create_superuser("admin", password=password)
    _, key = ApiKey.objects.issue(user=users.create_user("demo"), name="demo")
    return Demo(key, admin.get_username(), password)
