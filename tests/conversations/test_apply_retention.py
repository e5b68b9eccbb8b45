"""`manage.py apply_retention`: what has not been used for too long goes, the rest stays."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from conversations import retention
from conversations.models import Conversation, Message, Role
from tests.fakes.database import Databases, manage
from tests.fakes.ingest import Ingest


def conversation(title: str, days: float, messages: int = 2) -> Conversation:
    """One whose last activity was that many days ago."""
    owner, _ = User.objects.get_or_create(username="alice")
    made = Conversation.objects.create(owner=owner, title=title, provider="fake", model="echo")
    Conversation.objects.filter(pk=made.pk).update(last_activity_at=timezone.now() - timedelta(days=days))
    for number in range(messages):
        Message.objects.create(conversation=made, role=Role.USER, content=f"{title} {number}")
    return made


def apply(*arguments: str) -> str:
    out = StringIO()
    call_command("apply_retention", *arguments, stdout=out)
    return out.getvalue()


def titles() -> set[str]:
    return set(Conversation.objects.values_list("title", flat=True))


@pytest.mark.django_db
def test_it_deletes_what_is_older_with_its_messages(settings: Settings) -> None:
    settings.CHAT_RETENTION_DAYS = 30
    conversation("old", 30.1)
    kept = conversation("young", 29.9)
    assert apply() == "Deleted 1 conversations (last active over 30 days ago).\n"
    assert titles() == {"young"}
    assert set(Message.objects.values_list("conversation", flat=True)) == {kept.pk}


@pytest.mark.django_db
def test_an_old_conversation_that_is_still_used_stays(settings: Settings) -> None:
    settings.CHAT_RETENTION_DAYS = 30
    used = conversation("used", 1)
    Conversation.objects.filter(pk=used.pk).update(created_at=timezone.now() - timedelta(days=400))
    assert apply().startswith("Deleted 0 ")
    assert titles() == {"used"}


@pytest.mark.django_db
def test_a_dry_run_counts_and_deletes_nothing(settings: Settings) -> None:
    settings.CHAT_RETENTION_DAYS = 1
    conversation("old", 2)
    conversation("young", 0)
    assert apply("--dry-run") == "Would delete 1 conversations (last active over 1 days ago).\n"
    assert titles() == {"old", "young"}


@pytest.mark.django_db
@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_by_default_all_are_kept(arguments: tuple[str, ...]) -> None:
    conversation("ancient", 10_000)
    assert " 0 conversations (CHAT_RETENTION_DAYS is 0: all are kept)." in apply(*arguments)
    assert titles() == {"ancient"}


@pytest.mark.django_db
def test_it_goes_on_until_all_batches_are_deleted(settings: Settings) -> None:
    settings.CHAT_RETENTION_DAYS = 30
    owner = User.objects.create(username="alice")
    Conversation.objects.bulk_create(
        Conversation(owner=owner, title="old", provider="fake", model="echo") for _ in range(retention.BATCH * 2 + 1)
    )
    Conversation.objects.update(last_activity_at=timezone.now() - timedelta(days=31))
    conversation("young", 0)
    assert apply().startswith(f"Deleted {retention.BATCH * 2 + 1} ")
    assert titles() == {"young"}


def check_ins(ingest: Ingest) -> list[dict[str, Any]]:
    found = ingest.items("check_in")
    assert {check_in["monitor_slug"] for check_in in found} <= {"apply-retention"}
    assert len({check_in["check_in_id"] for check_in in found}) <= 1
    return found


def test_it_checks_in_with_sentry(databases: Databases, ingest: Ingest) -> None:
    manage(databases.new().url, "apply_retention", SENTRY_DSN=ingest.dsn, CHAT_RETENTION_DAYS="30")
    begun, ended = check_ins(ingest)
    assert (begun["status"], ended["status"]) == ("in_progress", "ok")
    assert begun["monitor_config"]["schedule"] == {"type": "crontab", "value": "30 3 * * *"}


def test_it_checks_in_as_failed_when_it_breaks(databases: Databases, ingest: Ingest) -> None:
    database = databases.new()
    database.query("ALTER TABLE conversations_conversation RENAME TO elsewhere")
    with pytest.raises(AssertionError, match="conversations_conversation"):
        manage(database.url, "apply_retention", SENTRY_DSN=ingest.dsn, CHAT_RETENTION_DAYS="30")
    assert [check_in["status"] for check_in in check_ins(ingest)] == ["in_progress", "error"]
    assert len(ingest.items("event")) == 1


def test_a_dry_run_does_not_check_in(databases: Databases, ingest: Ingest) -> None:
    manage(databases.new().url, "apply_retention", "--dry-run", SENTRY_DSN=ingest.dsn, CHAT_RETENTION_DAYS="30")
    assert ingest.items("check_in") == []
