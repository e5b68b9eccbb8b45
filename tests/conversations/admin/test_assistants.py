"""Assistants in the admin."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from conversations.models import Assistant
from tests.conversations.admin.pages import HOSTILE, staff

pytestmark = pytest.mark.django_db

LIST = "/admin/conversations/assistant/"
FIELDS = {
    "name": "Reader",
    "description": "",
    "provider": "local",
    "model": "small",
    "system_prompt": "Read.",
    "parameters": '{"temperature": 1}',
}


@pytest.fixture
def reader(owner: User) -> Assistant:
    return Assistant.objects.create(owner=owner, name="Reader", provider="local", model="small")


def change(client: Client, assistant: Assistant, **fields: str) -> Any:
    return client.post(f"{LIST}{assistant.pk}/change/", {**FIELDS, **fields})


def test_staff_with_the_permission_change_it(reader: Assistant) -> None:
    editor = staff("editor", "view_assistant", "change_assistant")
    assert "Reader" in editor.get(LIST).content.decode()
    assert change(editor, reader, name=HOSTILE).status_code == 302
    reader.refresh_from_db()
    assert (reader.name, reader.system_prompt, reader.parameters) == (HOSTILE, "Read.", {"temperature": 1})
    assert HOSTILE not in editor.get(f"{LIST}{reader.pk}/change/").content.decode()


def test_others_do_not(reader: Assistant) -> None:
    assert change(staff("viewer", "view_assistant"), reader, name="x").status_code == 403
    assert staff("outsider").get(LIST).status_code == 403
    reader.refresh_from_db()
    assert reader.name == "Reader"


def test_nobody_makes_one_for_somebody_else(admin_client: Client) -> None:
    assert admin_client.get(f"{LIST}add/").status_code == 403


@pytest.mark.parametrize(
    "parameters", ['{"temperature": "hot"}', '{"temperature": 3}', '{"top_p": 1}', "[1]", "7", '{"max_tokens": 0}']
)
def test_parameters_that_no_turn_could_take_are_refused(
    admin_client: Client, reader: Assistant, parameters: str
) -> None:
    response = change(admin_client, reader, parameters=parameters)
    assert response.status_code == 200
    assert response.context["adminform"].form.errors["parameters"]
    reader.refresh_from_db()
    assert reader.parameters == {}


def test_a_name_that_its_owner_has_already_is_refused(admin_client: Client, owner: User, reader: Assistant) -> None:
    Assistant.objects.create(owner=owner, name="Writer", provider="p", model="m")
    response = change(admin_client, reader, name="Writer")
    assert response.status_code == 200
    assert "another assistant of this name" in response.content.decode()
    assert change(admin_client, reader, name="Reader").status_code == 302
