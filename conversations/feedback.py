"""What users think of the answers: one rating, with or without words, for each message and user."""

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from chatproject import writing
from chatproject.observability import privacy
from chatproject.observability.feedback import UserFeedback, send
from chatproject.observability.limiter import Limiter
from chatproject.problems import Problem
from conversations.links import admin_url
from conversations.lookup import answer_of
from conversations.models import Feedback, Rating, Status

few = Limiter(10)
"""Lets what is said of one answer go to Sentry ten times at once, then every ten seconds; the database has the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    feedback: Feedback
    created: bool
    """False: it replaces what the user said before."""
    changed: bool
    """False: it says the same again, as a client does that repeats its request."""


@writing.atomic()
def give(owner: User, conversation_id: UUID, message_id: UUID, rating: Rating, comment: str) -> Given:
    """Stores the owner's feedback on an answer, in place of an earlier one. A unit for chatproject.db.

    Raises Problem `message_not_found`, also for somebody else's; `turn_in_progress` while the answer still comes;
    `invalid_request` for a message that is no answer.
    """
    message = answer_of(owner, conversation_id, message_id, lock=True)
    if message.live:  # of a turn whose worker has died, that much of an answer is all there is
        raise Problem("turn_in_progress", "Wait for the end of the answer.", headers={"Retry-After": "1"})
    before = Feedback.objects.filter(message=message, user=owner).values_list("rating", "comment").first()
    feedback, created = Feedback.objects.update_or_create(
        message=message, user=owner, defaults={"rating": rating, "comment": comment}
    )
    feedback.message, feedback.user = message, owner  # loaded already; async code may not load them
    given = Given(feedback=feedback, created=created, changed=before != (rating, comment))
    # Here, since a client may leave before it has its answer. Robust: what Sentry is told cannot fail what is stored.
    transaction.on_commit(partial(tell_sentry, given), robust=True)
    return given


def tell_sentry(given: Given) -> None:
    """Sends what is new, tied to the turn's event and trace, unless SENTRY_SEND_FEEDBACK says not to."""
    feedback, message, user = given.feedback, given.feedback.message, given.feedback.user
    if not (settings.SENTRY_SEND_FEEDBACK and given.changed and message.trace_id):
        return
    if few.take((str(message.pk),)) is None:
        return
    # The worker has died, if this is an answer that never ended.
    outcome = Status.INTERRUPTED if message.status == Status.STREAMING else message.status
    send(
        UserFeedback(
            text=feedback.comment.strip() or f"Rated {feedback.rating}, without a comment.",
            trace_id=message.trace_id,
            event_id=message.sentry_event_id,
            url=admin_url(message.conversation_id),
            user_id=str(user.pk),
            username=user.get_username(),
            email=user.email,
            tags={
                "rating": feedback.rating,
                "conversation_id": str(message.conversation_id),
                "message_id": str(message.pk),
                "request_id": message.request_id,
                "provider": message.provider,
                "model": privacy.name(message.model),
                "chat.outcome": outcome,
            },
        )
    )
