"""API keys: `ck_<prefix>_<secret>`. Only the SHA-256 is stored; the key itself is shown once.

And what they have spent: the ledger, which `ledger.py` writes, and the counter of requests, which `rates.py` does.
"""

import hashlib
import hmac
import secrets
import string
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.utils import timezone

from chatproject.apikeys.dollars import DollarField
from chatproject.apikeys.rates import Rate
from chatproject.apikeys.scopes import every_scope, validate_scopes

ALPHABET = string.ascii_letters + string.digits
PREFIX_LENGTH = 8
SECRET_LENGTH = 40

# How stale `last_used_at` may be: a write on every request would cost more than the answer is worth.
LAST_USED_STEP = timedelta(minutes=1)


METERED = ("tokens_per_minute", "concurrent_turns", "budget_day_usd", "budget_month_usd")
"""The limits that the ledger keeps."""

LIMITS = ("requests_per_minute", *METERED)

DEFAULTS = "Empty: the server's default. 0: none."


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _new_secret() -> tuple[str, str]:
    """A prefix, and the key that begins with it."""
    prefix = _random(PREFIX_LENGTH)
    return prefix, f"ck_{prefix}_{_random(SECRET_LENGTH)}"


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class ApiKeyManager(models.Manager["ApiKey"]):
    def issue(self, *, user: User, name: str, **fields: Any) -> tuple["ApiKey", str]:
        """Creates a key for `user` and returns it with its plain text, which cannot be had again."""
        prefix, plain = _new_secret()
        return self.create(user=user, name=name, prefix=prefix, key_hash=_digest(plain), **fields), plain

    def find(self, plain: str) -> "ApiKey | None":
        """The key, revoked or not, whose plain text is `plain`, with its user; None when there is none."""
        parts = plain.split("_")
        if len(parts) != 3 or parts[0] != "ck" or len(parts[1]) != PREFIX_LENGTH or not plain.isascii():
            return None
        # By the digest as well: a wrong secret takes the path of an unknown prefix, which no timing can tell from it.
        # What the database's own comparison takes tells of a digest at most, and a digest opens nothing.
        digest = _digest(plain)
        key = self.select_related("user").filter(prefix=parts[1], key_hash=digest).first()
        return key if hmac.compare_digest(key.key_hash if key else "-" * 64, digest) else None

    @transaction.atomic
    def rotate(self, prefix: str, *, overlap: timedelta, expires_at: datetime | None = None) -> tuple["ApiKey", str]:
        """Gives the key of that prefix a new secret and prefix, and returns it with its plain text.

        It stays the same key: user, name, scopes, limits and ledger. The old secret goes on opening it for `overlap`,
        by a row of its own that names the key in `replaced_by`. So both share one budget. The key expires as before,
        unless `expires_at` says when. Raises ApiKey.DoesNotExist when no key of that prefix can be rotated: it is
        unknown, revoked or replaced itself.
        """
        key = self.select_for_update().get(prefix=prefix, revoked_at=None, replaced_by=None)
        until = timezone.now() + overlap
        ends = until if key.expires_at is None else min(until, key.expires_at)
        old = ApiKey(user_id=key.user_id, name=key.name, prefix=key.prefix, key_hash=key.key_hash)
        old.scopes, old.last_used_at, old.expires_at, old.replaced_by = key.scopes, key.last_used_at, ends, key
        key.prefix, plain = _new_secret()
        key.key_hash, key.last_used_at, key.expires_at = _digest(plain), None, expires_at or key.expires_at
        key.save(update_fields=["prefix", "key_hash", "last_used_at", "expires_at"])
        old.save(force_insert=True)
        return key, plain


def _limit(name: str) -> Any:
    return models.PositiveIntegerField(name, null=True, blank=True, help_text=DEFAULTS)


def _budget(name: str) -> Any:
    return models.DecimalField(
        name,
        max_digits=12,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0))],
        help_text=DEFAULTS,
    )


class ApiKey(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=PREFIX_LENGTH, unique=True, editable=False)
    key_hash = models.CharField("SHA-256 of the key", max_length=64, editable=False)
    scopes = models.JSONField(
        default=every_scope,
        db_default=models.Value(every_scope(), models.JSONField()),
        validators=[validate_scopes],
    )
    expires_at = models.DateTimeField("expires", null=True, blank=True)
    replaced_by = models.ForeignKey("self", models.CASCADE, null=True, editable=False, related_name="replaced")
    """Of a secret that rotation has replaced: the key that it still opens until it expires."""
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    # Each: null is the server's default, CHAT_KEY_*; 0 is none.
    requests_per_minute = _limit("requests per minute")
    tokens_per_minute = _limit("tokens per minute")
    concurrent_turns = _limit("concurrent turns")
    budget_day_usd = _budget("budget of a day (US$)")
    budget_month_usd = _budget("budget of a month (US$)")

    objects = ApiKeyManager()

    rate: Rate | None = None
    """Of the request that this was read for; None when its requests are not limited."""

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} (ck_{self.prefix}_…)"

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def usable(self) -> bool:
        """Whether it opens the API; a replaced one does no longer than the key that has replaced it."""
        if self.revoked_at is not None or self.expired or not self.user.is_active:
            return False
        return self.replaced_by is None or not (self.replaced_by.revoked_at or self.replaced_by.expired)

    @property
    def state(self) -> str:
        """In a word or two, for people."""
        if self.usable:
            return "Active" if self.replaced_by_id is None else "Replaced"
        if self.revoked_at is not None:
            return "Revoked"
        if self.expired or (self.replaced_by is not None and self.replaced_by.expired):
            return "Expired"
        return "Revoked" if self.user.is_active else "User is not active"

    @property
    def metered(self) -> bool:
        """Whether its turns go through the ledger."""
        return any(self.limit(name) for name in METERED)

    def limit(self, name: str) -> Any:
        """The limit of that name, one of LIMITS, that holds for the key; 0 is none."""
        own = getattr(self, name)
        return settings.CHAT_KEY_LIMITS[name] if own is None else own

    def revoke(self) -> None:
        if self.revoked_at is None:
            self.revoked_at = timezone.now()
            self.save(update_fields=["revoked_at"])

    def touch(self) -> None:
        """Notes that the key was used, to the minute."""
        now = timezone.now()
        if self.last_used_at is None or now - self.last_used_at > LAST_USED_STEP:
            ApiKey.objects.filter(pk=self.pk).update(last_used_at=now)


class LedgerEntry(models.Model):
    """What a turn of a metered key has cost, or, while it runs, may cost at most. Outlives its conversation."""

    turn_id = models.UUIDField(primary_key=True)
    """The id of the assistant's message, or of a turn that is not stored."""
    key = models.ForeignKey(ApiKey, models.CASCADE, related_name="entries", db_index=False)
    created_at = models.DateTimeField()
    """When it was reserved: the turn counts for the minute, the day and the month of that."""
    tokens_reserved = models.PositiveBigIntegerField()
    cost_reserved = DollarField("reserved (US$)")
    tokens = models.PositiveBigIntegerField(null=True)
    cost = DollarField("cost (US$)", null=True)
    settled_at = models.DateTimeField(null=True)
    """Null while it is open; for good, if the worker was killed before it could settle: then it counts as reserved."""
    lease_until = models.DateTimeField(null=True)
    """Until when an open one counts as running."""

    class Meta:
        verbose_name_plural = "ledger entries"
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["key", "created_at"], name="entries_of_key"),
            models.Index(
                fields=["key", "created_at"], name="open_entries_of_key", condition=models.Q(settled_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"turn {self.turn_id}"


class LedgerDay(models.Model):
    """The settled entries of a key and a day, added up, so that a month is a sum of 31 rows."""

    key = models.ForeignKey(ApiKey, models.CASCADE, related_name="days", db_index=False)
    day = models.DateField()
    """In UTC: that of the entries' `created_at`."""
    turns = models.PositiveBigIntegerField(default=0)
    tokens = models.PositiveBigIntegerField(default=0)
    cost = DollarField("cost (US$)", default=Decimal(0))

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "day"], name="one_total_of_day")]

    def __str__(self) -> str:
        return str(self.day)


class RequestCount(models.Model):
    """The requests of a key in the minute that it was used last, and in the one before."""

    key = models.OneToOneField(ApiKey, models.CASCADE, primary_key=True, related_name="+")
    minute = models.BigIntegerField()
    """Of the epoch."""
    requests = models.PositiveIntegerField()
    earlier = models.PositiveIntegerField()
    """In the minute before."""

    def __str__(self) -> str:
        return f"requests of key {self.key_id}"
