"""Who may carry out a request with an Idempotency-Key, and what the others are told. Database units."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from uuid_utils.compat import uuid7

from chatproject.problems import Problem
from conversations import idempotent
from conversations.idempotent import Before, Claim, current, tied
from conversations.models import Conversation, IdempotentRequest, Message

pytestmark = pytest.mark.django_db


def claim(owner: User) -> Claim | Before:
    return idempotent.claim(owner, "key", "fingerprint")


def expire() -> None:
    IdempotentRequest.objects.update(lease_until=timezone.now() - timedelta(seconds=1))


def begin(mine: Claim) -> None:
    """A turn that leaves no message, as OpenAI's endpoint has it."""
    token = current.set(mine)
    try:
        tied(lambda: None, uuid7())()
    finally:
        current.reset(token)


def test_the_first_may(owner: User) -> None:
    assert isinstance(claim(owner), Claim)
    with pytest.raises(Problem, match="idempotency_in_progress"):
        claim(owner)


def test_another_may_when_that_one_has_died_before_it_began(owner: User) -> None:
    first = claim(owner)
    expire()
    second = claim(owner)
    assert isinstance(first, Claim)
    assert isinstance(second, Claim)
    begin(second)
    with pytest.raises(Problem, match="idempotency_in_progress"):
        begin(first)  # it was only slow
    assert (first.tied, second.tied) == (False, True)


def test_nobody_may_once_a_turn_has_begun(owner: User) -> None:
    mine = claim(owner)
    assert isinstance(mine, Claim)
    begin(mine)
    with pytest.raises(Problem, match="idempotency_in_progress"):
        claim(owner)
    expire()
    before = claim(owner)
    assert isinstance(before, Before)
    assert (before.record.status, before.message) == (None, None), "nobody knows how far it came"


def test_a_lease_is_extended_while_it_runs(owner: User) -> None:
    mine = claim(owner)
    assert isinstance(mine, Claim)
    expire()
    idempotent.keep_alive([mine.pk])
    with pytest.raises(Problem, match="idempotency_in_progress"):
        claim(owner)


def test_what_came_to_nothing_is_forgotten(owner: User) -> None:
    mine = claim(owner)
    assert isinstance(mine, Claim)
    idempotent.release(mine.pk)
    assert isinstance(claim(owner), Claim)


def test_a_request_that_has_begun_a_turn_is_not_forgotten(owner: User) -> None:
    mine = claim(owner)
    assert isinstance(mine, Claim)
    begin(mine)
    idempotent.release(mine.pk)
    assert IdempotentRequest.objects.count() == 1


def test_the_first_result_stays(owner: User) -> None:
    mine = claim(owner)
    assert isinstance(mine, Claim)
    idempotent.keep(mine.pk, 200, {"Content-Type": "text/plain"}, "first")
    idempotent.keep(mine.pk, 503, {}, "second")
    before = claim(owner)
    assert isinstance(before, Before)
    assert (before.record.status, before.record.body) == (200, "first")


def test_results_are_deleted_after_a_day(owner: User) -> None:
    claim(owner)
    IdempotentRequest.objects.update(created_at=timezone.now() - timedelta(hours=23))
    assert idempotent.delete_old() == 0
    IdempotentRequest.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert idempotent.delete_old() == 1
    assert IdempotentRequest.objects.count() == 0


def test_a_turn_that_has_ended_is_under_way_until_its_result_is_kept(owner: User) -> None:
    mine = claim(owner)
    assert isinstance(mine, Claim)
    conversation = Conversation.objects.create(owner=owner, provider="p", model="m")
    answer = Message.objects.create(conversation=conversation, role="assistant", status="completed", content="yes")
    IdempotentRequest.objects.filter(pk=mine.pk).update(message_id=answer.pk)
    with pytest.raises(Problem, match="idempotency_in_progress"):
        claim(owner)
    expire()
    before = claim(owner)
    assert isinstance(before, Before)
    assert before.message == answer
