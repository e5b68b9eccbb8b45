"""System checks of the settings that are fine for a developer and doubtful in production. All are silent elsewhere.

One DSN shared by two environments cannot be seen from here; docs/sentry.md says why to keep them apart.
"""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register

# Each: (id, whether it applies, message, hint).
Row = tuple[str, bool, str, str]


@register(Tags.security, deploy=True)
def check_deployment(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """What `manage.py check --deploy` says."""
    on = bool(settings.SENTRY_DSN)
    return warnings(
        (
            "W001",
            on and settings.SENTRY_TRACES_SAMPLE_RATE == 1.0,
            "Every request is traced.",
            "Set SENTRY_TRACES_SAMPLE_RATE to what the quota and the CPU allow, such as 0.1.",
        ),
        (
            "W002",
            on and settings.SENTRY_PROFILES_SAMPLE_RATE == 1.0 and settings.SENTRY_TRACES_SAMPLE_RATE > 0,
            "Every process is profiled.",
            "Set SENTRY_PROFILES_SAMPLE_RATE to a share such as 0.1, or to 0.",
        ),
        (
            "W003",
            on and settings.SENTRY_SEND_DEFAULT_PII,
            "Users' names, e-mail addresses and IP addresses are sent to Sentry.",
            "Set SENTRY_SEND_DEFAULT_PII=false, unless your users know and your contract with Sentry covers it.",
        ),
        (
            "W004",
            settings.DEBUG,
            "DEBUG is on: the admin's error pages show source and local variables to anybody.",
            "Set DEBUG=false.",
        ),
        (
            "W005",
            settings.SENTRY_DEBUG_OPEN,
            "/sentry-debug answers without a key: anybody can fill Sentry's quota with errors.",
            "Remove SENTRY_DEBUG_OPEN: in production the endpoint then wants a staff user's API key.",
        ),
    )


@register(Tags.security)
def check_production(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """What every command says, so that no start of a production server goes without it."""
    return warnings(
        (
            "W006",
            not settings.SENTRY_DSN,
            "SENTRY_DSN is empty: nobody will hear of a failure.",
            "Set it, from Sentry: Project Settings > Client Keys (DSN); `manage.py sentry_check` then tests it.",
        ),
        (
            "W007",
            bool(settings.SENTRY_DSN) and settings.SENTRY_INCLUDE_PROMPTS,
            "The text of every message is sent to Sentry.",
            "Set SENTRY_INCLUDE_PROMPTS=false, unless your users know.",
        ),
    )


def warnings(*rows: Row) -> list[CheckMessage]:
    if not settings.PRODUCTION:
        return []
    return [Warning(message, hint=hint, id=f"observability.{id}") for id, applies, message, hint in rows if applies]
