"""API keys: `ck_<prefix>_<secret>`. Only the SHA-256 is stored; the key itself is shown once."""

import hashlib
import hmac
import secrets
import string
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.utils import timezone

ALPHABET = string.ascii_letters + string.digits
PREFIX_LENGTH = 8
SECRET_LENGTH = 40

# How stale `last_used_at` may be: a write on every request would cost more than the answer is worth.
LAST_USED_STEP = timedelta(minutes=1)


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class ApiKeyManager(models.Manager["ApiKey"]):
    def issue(self, *, user: User, name: str) -> tuple["ApiKey", str]:
        """Creates a key for `user` and returns it with its plain text, which cannot be had again."""
        prefix = _random(PREFIX_LENGTH)
        plain = f"ck_{prefix}_{_random(SECRET_LENGTH)}"
        return self.create(user=user, name=name, prefix=prefix, key_hash=_digest(plain)), plain

    def find(self, plain: str) -> "ApiKey | None":
        """The key, revoked or not, whose plain text is `plain`, with its user; None when there is none."""
        parts = plain.split("_")
        if len(parts) != 3 or parts[0] != "ck" or len(parts[1]) != PREFIX_LENGTH or not plain.isascii():
            return None
        key = self.select_related("user").filter(prefix=parts[1]).first()
        # Compared even when there is none, in constant time: a prefix must not be found by timing.
        matches = hmac.compare_digest(key.key_hash if key else "-" * 64, _digest(plain))
        return key if matches else None


class ApiKey(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=PREFIX_LENGTH, unique=True, editable=False)
    key_hash = models.CharField("SHA-256 of the key", max_length=64, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    objects = ApiKeyManager()

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} (ck_{self.prefix}_…)"

    @property
    def usable(self) -> bool:
        return self.revoked_at is None and self.user.is_active

    def revoke(self) -> None:
        if self.revoked_at is None:
            self.revoked_at = timezone.now()
            self.save(update_fields=["revoked_at"])

    def touch(self) -> None:
        """Notes that the key was used, to the minute."""
        now = timezone.now()
        if self.last_used_at is None or now - self.last_used_at > LAST_USED_STEP:
            ApiKey.objects.filter(pk=self.pk).update(last_used_at=now)
