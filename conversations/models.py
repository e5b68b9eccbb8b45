"""A conversation and its messages. Ids are UUIDv7: they sort by time, so they are the order and the cursor."""

from django.conf import settings
from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7

TITLE_LENGTH = 200


class Role(models.TextChoices):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Status(models.TextChoices):
    COMPLETED = "completed"
    STREAMING = "streaming"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class Outcome(models.TextChoices):
    """How an attempt ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped", "Skipped: the circuit is open"


class Rating(models.TextChoices):
    UP = "up"
    DOWN = "down"


class Assistant(models.Model):
    """A preset that conversations start from. They take a copy: a later change of it leaves them as they are."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="assistants")
    name = models.CharField(max_length=100)
    description = models.TextField(blank=True)
    provider = models.CharField(max_length=32)
    model = models.CharField(max_length=200)
    system_prompt = models.TextField(blank=True)
    parameters = models.JSONField(default=dict, blank=True)
    """Of the turns: {"temperature": 0.2, "max_tokens": 500}, each where it is set."""
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="one_assistant_of_name")]

    def __str__(self) -> str:
        return self.name


class Conversation(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="conversations")
    title = models.CharField(max_length=TITLE_LENGTH, blank=True)
    provider = models.CharField(max_length=32)
    model = models.CharField(max_length=200)
    system_prompt = models.TextField(blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    parameters = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()), blank=True)
    """What a turn has that names none: {"temperature": 0.2, "max_tokens": 500}."""
    assistant = models.ForeignKey(Assistant, models.SET_NULL, null=True, related_name="conversations")
    """The preset that it started from."""
    forked_from = models.ForeignKey("self", models.SET_NULL, null=True, related_name="forks")
    forked_at = models.UUIDField(null=True)
    """The message of that conversation up to which, inclusive, this one is a copy."""
    archived = models.BooleanField(default=False, db_default=False)
    pinned = models.BooleanField(default=False, db_default=False)
    deleted_at = models.DateTimeField(null=True)
    """When its owner has deleted it; it can be restored until it is purged."""
    created_at = models.DateTimeField(auto_now_add=True)
    last_activity_at = models.DateTimeField("last activity", auto_now_add=True, db_index=True)

    # Kept by the turns, so that no list has to count messages.
    message_count = models.PositiveIntegerField("messages", default=0)
    token_count = models.PositiveBigIntegerField("tokens", default=0)
    failure_count = models.PositiveIntegerField("failures", default=0)
    cost_usd = models.DecimalField("cost (US$)", max_digits=14, decimal_places=8, null=True)
    """Of the turns whose price is known; None when none is."""

    class Meta:
        ordering = ["-id"]
        indexes = [
            # Of what the list shows unless it is asked for something else: a page costs the same whatever is put away.
            models.Index(
                fields=["owner", "-id"],
                name="conversation_shown",
                condition=models.Q(archived=False, deleted_at__isnull=True),
            ),
            models.Index(fields=["owner", "-id"], name="conversation_pinned", condition=models.Q(pinned=True)),
            models.Index(fields=["owner", "-id"], name="conversation_archived", condition=models.Q(archived=True)),
            models.Index(
                fields=["deleted_at", "id"], name="conversation_deleted", condition=models.Q(deleted_at__isnull=False)
            ),
            # The admin's list, which is by activity, with its filters.
            models.Index(fields=["provider", "last_activity_at"], name="activity_of_provider"),
            models.Index(fields=["last_activity_at"], name="activity_archived", condition=models.Q(archived=True)),
            models.Index(
                fields=["last_activity_at"], name="activity_deleted", condition=models.Q(deleted_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return self.title or f"Conversation {self.pk}"


class ConversationTag(models.Model):
    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="tag_rows", db_index=False)
    name = models.CharField(max_length=64)

    class Meta:
        ordering = ["name"]
        indexes = [models.Index(fields=["name", "conversation"], name="conversations_of_tag")]
        constraints = [models.UniqueConstraint(fields=["conversation", "name"], name="one_tag_of_name")]

    def __str__(self) -> str:
        return self.name


class Message(models.Model):
    """One message. An assistant's message is the record of its turn: outcome, usage, timings, where to look in Sentry.

    While its turn runs it is `streaming` and holds a lease, which the worker that runs it keeps extending. When the
    lease has run out the worker is dead, and the conversation is free for the next turn.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="messages")
    role = models.CharField(max_length=16, choices=Role.choices)
    content = models.TextField(blank=True)
    parts = models.JSONField(null=True)
    """The whole content of a user's message that is more than text: OpenAI's content parts."""
    reasoning = models.TextField(blank=True, default="", db_default="")
    """What the model said to itself, when the turn asked for it."""
    tool_calls = models.JSONField(null=True)
    """Of an answer: [{id, type, function: {name, arguments}}]."""
    tool_call_id = models.CharField(max_length=128, blank=True, default="", db_default="")
    """Of a tool's result: the call that it answers."""
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.COMPLETED)
    finish_reason = models.CharField(max_length=32, blank=True)
    error_code = models.CharField(max_length=64, blank=True)
    provider = models.CharField(max_length=32, blank=True)
    model = models.CharField(max_length=200, blank=True)
    prompt_tokens = models.PositiveIntegerField(null=True)
    completion_tokens = models.PositiveIntegerField(null=True)
    total_tokens = models.PositiveIntegerField(null=True)
    usage_estimated = models.BooleanField(default=False, db_default=False)
    cost_usd = models.DecimalField(max_digits=14, decimal_places=8, null=True)
    ttft_ms = models.PositiveIntegerField("time to first token (ms)", null=True)
    latency_ms = models.PositiveIntegerField("latency (ms)", null=True)
    request_id = models.CharField(max_length=64, blank=True)
    trace_id = models.CharField(max_length=32, blank=True)
    sentry_event_id = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField(null=True)
    cancel_requested = models.BooleanField(default=False, db_default=False)
    """Whether somebody wants the running turn to end; the worker that runs it looks."""
    superseded_by = models.UUIDField(null=True)
    """The answer that was made in its place. No part of the history any more."""
    copied_from = models.UUIDField(null=True)
    """In a fork: the message that it is a copy of."""
    detached = models.BooleanField(default=False, db_default=False)
    """Whether its turn goes on when its reader leaves, and its events are kept for others."""
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["conversation", "id"], name="message_of_conversation"),
            models.Index(fields=["status", "id"], name="message_unfinished", condition=~models.Q(status="completed")),
            # By what an error names, for the admin's search. Of a turn's messages the answer alone.
            models.Index(fields=["request_id"], name="answer_of_request", condition=models.Q(role="assistant")),
            models.Index(fields=["trace_id"], name="answer_of_trace", condition=models.Q(role="assistant")),
            models.Index(fields=["sentry_event_id"], name="answer_of_event", condition=~models.Q(sentry_event_id="")),
        ]
        constraints = [
            # The lock of a conversation: the database itself refuses a second live turn.
            models.UniqueConstraint(
                fields=["conversation"], condition=models.Q(status="streaming"), name="one_live_turn"
            )
        ]

    def __str__(self) -> str:
        return f"{self.role} message {self.pk}"

    @property
    def live(self) -> bool:
        """Whether its turn runs, which the lease tells: a dead worker's turn is `streaming` too."""
        return self.status == Status.STREAMING and self.lease_until is not None and self.lease_until > timezone.now()


class MessageAttempt(models.Model):
    """One request to a provider for an answer. A turn makes another when one fails before its first token."""

    message = models.ForeignKey(Message, models.CASCADE, related_name="attempts", db_index=False)
    number = models.PositiveSmallIntegerField()
    """From 1, in the order of the attempts."""
    provider = models.CharField(max_length=32)
    model = models.CharField(max_length=200)
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    error_code = models.CharField(max_length=64, blank=True)
    provider_status = models.PositiveIntegerField("HTTP status", null=True)
    """What the provider answered, if it was no success."""
    started_at = models.DateTimeField()
    ttft_ms = models.PositiveIntegerField("time to first token (ms)", null=True)
    latency_ms = models.PositiveIntegerField("latency (ms)")
    """Both from the attempt's own start."""

    class Meta:
        ordering = ["message", "number"]
        constraints = [models.UniqueConstraint(fields=["message", "number"], name="one_attempt_of_number")]

    def __str__(self) -> str:
        return f"attempt {self.number}: {self.provider} {self.outcome}"


class Feedback(models.Model):
    """What a user thinks of an answer. Its comment is written to be read by the people who run the server."""

    message = models.ForeignKey(Message, models.CASCADE, related_name="feedback")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="feedback")
    rating = models.CharField(max_length=8, choices=Rating.choices)
    comment = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "feedback"
        indexes = [models.Index(fields=["rating", "message"], name="feedback_of_rating")]
        constraints = [models.UniqueConstraint(fields=["message", "user"], name="one_feedback_of_user")]

    def __str__(self) -> str:
        return f"{self.rating} for message {self.message_id}"


class EventBatch(models.Model):
    """Server-sent events of a detached turn, as they went out, for those who read them later or elsewhere."""

    message = models.ForeignKey(Message, models.CASCADE, related_name="event_batches", db_index=False)
    first = models.PositiveIntegerField()
    last = models.PositiveIntegerField()
    """The numbers of the first and the last event in it, both inclusive."""
    data = models.TextField()
    """The events, encoded."""
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        ordering = ["message", "first"]
        constraints = [models.UniqueConstraint(fields=["message", "first"], name="one_batch_of_first_event")]

    def __str__(self) -> str:
        return f"events {self.first} to {self.last}"


class IdempotentRequest(models.Model):
    """A POST with an Idempotency-Key, and what became of it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    """SHA-256 of method, path and body, in hex."""
    message_id = models.UUIDField(null=True)
    """The answer of the turn that it began."""
    status = models.PositiveSmallIntegerField(null=True)
    """Of its response; null while it is under way."""
    headers = models.JSONField(default=dict)
    body = models.TextField(blank=True)
    lease_until = models.DateTimeField()
    """Until when it counts as under way, unless its turn says otherwise."""
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="one_request_of_idempotency_key")]

    def __str__(self) -> str:
        return f"request {self.pk}"


class TurnStatistics(models.Model):
    """The turns of a user, added up. `bucket` tells them by their time to first token, for the percentiles of that."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False)
    day = models.DateField()
    """In UTC."""
    provider = models.CharField(max_length=32)
    model = models.CharField(max_length=200)
    bucket = models.SmallIntegerField()
    turns = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    cancelled = models.PositiveIntegerField(default=0)
    prompt_tokens = models.PositiveBigIntegerField(default=0)
    completion_tokens = models.PositiveBigIntegerField(default=0)
    cost_usd = models.DecimalField(max_digits=16, decimal_places=8, default=0)

    class Meta:
        verbose_name_plural = "turn statistics"
        constraints = [
            models.UniqueConstraint(fields=["user", "day", "provider", "model", "bucket"], name="one_row_of_statistics")
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.provider} {self.model}"
