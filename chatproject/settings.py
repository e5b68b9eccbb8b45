"""The settings. Every read of the environment is here, in the order of .env.example; nothing else reads it.

A malformed value raises ImproperlyConfigured with the variable's name, and never repeats the value.
"""

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from chatproject.env import Env, http_url
from chatproject.observability import logs, sentry
from providers import registry

BASE_DIR = Path(__file__).resolve().parent.parent

env = Env()
# The tests point ENV_FILE elsewhere, so that a developer's keys and DSN never take part in them.
Env.read_env(os.environ.get("ENV_FILE", str(BASE_DIR / ".env")))

# --- Sentry ---------------------------------------------------------------------------------------
SENTRY_DSN = env.dsn("SENTRY_DSN")
SENTRY_ENVIRONMENT = env.choice("SENTRY_ENVIRONMENT", "development", ["development", "staging", "production"])
SENTRY_ENABLE_TRACING = env.flag("SENTRY_ENABLE_TRACING", True)
SENTRY_TRACES_SAMPLE_RATE = env.rate("SENTRY_TRACES_SAMPLE_RATE", 1.0) if SENTRY_ENABLE_TRACING else 0.0
SENTRY_PROFILES_SAMPLE_RATE = env.rate("SENTRY_PROFILES_SAMPLE_RATE", 1.0) if SENTRY_ENABLE_TRACING else 0.0
SENTRY_SEND_DEFAULT_PII = env.flag("SENTRY_SEND_DEFAULT_PII", True)
SENTRY_INCLUDE_PROMPTS = env.flag("SENTRY_INCLUDE_PROMPTS", False)
SENTRY_SEND_FEEDBACK = env.flag("SENTRY_SEND_FEEDBACK", True)
SENTRY_ENABLE_LOGS = env.flag("SENTRY_ENABLE_LOGS", True) and bool(SENTRY_DSN)
SENTRY_EVENT_BURST = env.integer("SENTRY_EVENT_BURST", 10, 0, 100_000)
SENTRY_RELEASE = env.text("SENTRY_RELEASE") or sentry.git_release()
SENTRY_EVENT_URL = env.text("SENTRY_EVENT_URL") or sentry.default_event_url(SENTRY_DSN)
SENTRY_TRACE_URL = env.text("SENTRY_TRACE_URL") or sentry.default_trace_url(SENTRY_DSN)
SENTRY_AUTH_TOKEN = env.text("SENTRY_AUTH_TOKEN")
SENTRY_ORG = env.text("SENTRY_ORG")
SENTRY_PROJECT = env.text("SENTRY_PROJECT")
SENTRY_URL = env.text("SENTRY_URL")
SENTRY_DEBUG_OPEN = env.flag("SENTRY_DEBUG_OPEN", SENTRY_ENVIRONMENT != "production")

if SENTRY_EVENT_URL:
    http_url("SENTRY_EVENT_URL", SENTRY_EVENT_URL)
    if "{event_id}" not in SENTRY_EVENT_URL:
        raise ImproperlyConfigured("SENTRY_EVENT_URL must contain {event_id}.")
if SENTRY_TRACE_URL:
    http_url("SENTRY_TRACE_URL", SENTRY_TRACE_URL)
    if "{trace_id}" not in SENTRY_TRACE_URL:
        raise ImproperlyConfigured("SENTRY_TRACE_URL must contain {trace_id}.")
if SENTRY_URL:
    SENTRY_URL = http_url("SENTRY_URL", SENTRY_URL)

PRODUCTION = SENTRY_ENVIRONMENT == "production"

# Before the application exists, so that a failure while it loads is seen too.
sentry.init(
    dsn=SENTRY_DSN,
    environment=SENTRY_ENVIRONMENT,
    release=SENTRY_RELEASE,
    traces_sample_rate=SENTRY_TRACES_SAMPLE_RATE,
    profiles_sample_rate=SENTRY_PROFILES_SAMPLE_RATE,
    send_pii=SENTRY_SEND_DEFAULT_PII,
    include_prompts=SENTRY_INCLUDE_PROMPTS,
    event_burst=SENTRY_EVENT_BURST,
)

# --- Django ---------------------------------------------------------------------------------------
DEBUG = env.flag("DEBUG", False)

LOG_FORMAT = env.choice("LOG_FORMAT", "json" if PRODUCTION else "line", logs.FORMATTERS)

SECRET_KEY = env.text("SECRET_KEY")
if not SECRET_KEY:
    raise ImproperlyConfigured("SECRET_KEY is empty. `make .env` writes a random one into .env.")
if PRODUCTION and (len(SECRET_KEY) < 32 or "insecure" in SECRET_KEY or "change" in SECRET_KEY.lower()):
    raise ImproperlyConfigured("SECRET_KEY is short or well known; production needs 50 or more random characters.")

ALLOWED_HOSTS = env.names("ALLOWED_HOSTS", ["localhost", "127.0.0.1"])
CSRF_TRUSTED_ORIGINS = env.names("CSRF_TRUSTED_ORIGINS", [])
CORS_ALLOWED_ORIGINS: list[str] = env.origins("CORS_ALLOWED_ORIGINS")
TRUSTED_PROXIES = env.integer("TRUSTED_PROXIES", 0, 0, 10)
HSTS_SECONDS = env.integer("HSTS_SECONDS", 0, 0, 100_000_000)
PUBLIC_URL = env.text("PUBLIC_URL")
if PUBLIC_URL:
    PUBLIC_URL = http_url("PUBLIC_URL", PUBLIC_URL)

DATABASES: dict[str, dict[str, Any]] = {"default": env.database("DATABASE_URL", f"sqlite:///{BASE_DIR / 'db.sqlite3'}")}
ON_SQLITE = DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3"
# SQLite has one writer at a time, and the turns have a thread of their own, see grouping.py. Each more takes 1.5 MB.
DATABASE_THREADS = env.integer("DATABASE_THREADS", 2 if ON_SQLITE else 8, 1, 64)
DATABASE_TIMEOUT = env.integer("DATABASE_TIMEOUT", 10, 0, 3600)
DATABASES["default"]["CONN_MAX_AGE"] = 60
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
if ON_SQLITE:
    DATABASES["default"]["OPTIONS"] = {
        # IMMEDIATE: a writer waits for its turn at BEGIN instead of failing at its first write.
        "transaction_mode": "IMMEDIATE",
        "timeout": DATABASE_TIMEOUT or 86_400,
        # Half a megabyte of pages for each connection; the system keeps the file itself.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-500;",
    }
elif DATABASE_TIMEOUT:
    DATABASES["default"]["OPTIONS"] = {
        # A connection whose other end has vanished is noticed in this time, too. For the statements: deadline.py.
        "connect_timeout": DATABASE_TIMEOUT,
        "tcp_user_timeout": DATABASE_TIMEOUT * 1000,
        "keepalives_idle": DATABASE_TIMEOUT,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        **DATABASES["default"].get("OPTIONS", {}),  # what the URL says
    }
CACHES = {"default": env.cache("CACHE_URL")}

# --- Chat -----------------------------------------------------------------------------------------
CHAT_TIMEOUTS = registry.Timeouts(
    connect=env.number("CHAT_CONNECT_TIMEOUT", 5, registry.SHORTEST, registry.LONGEST),
    first_token=env.number("CHAT_FIRST_TOKEN_TIMEOUT", 60, registry.SHORTEST, registry.LONGEST),
    silence=env.number("CHAT_SILENCE_TIMEOUT", 30, registry.SHORTEST, registry.LONGEST),
    turn=env.number("CHAT_TURN_TIMEOUT", 300, registry.SHORTEST, registry.LONGEST),
)
CHAT_PROVIDERS = registry.load(env.text, env.names("CHAT_PROVIDERS", []), CHAT_TIMEOUTS)
CHAT_DEFAULT_PROVIDER = env.choice("CHAT_DEFAULT_PROVIDER", "local", CHAT_PROVIDERS)
CHAT_SYSTEM_PROMPT = env.text("CHAT_SYSTEM_PROMPT", "You are a helpful assistant.")
CHAT_MAX_MESSAGE_CHARS = env.integer("CHAT_MAX_MESSAGE_CHARS", 100_000, 1, 1_000_000)
CHAT_MAX_BODY_BYTES = env.integer("CHAT_MAX_BODY_BYTES", 2_000_000, 1_000, 100_000_000)
CHAT_BODY_TIMEOUT = env.integer("CHAT_BODY_TIMEOUT", 60, 1, 3600)
CHAT_MAX_IMAGE_BYTES = env.integer("CHAT_MAX_IMAGE_BYTES", 1_000_000, 0, 75_000_000)
if (
    CHAT_MAX_IMAGE_BYTES and CHAT_MAX_IMAGE_BYTES * 4 // 3 + 1_000 > CHAT_MAX_BODY_BYTES
):  # base64, and what is around it
    raise ImproperlyConfigured(
        "CHAT_MAX_IMAGE_BYTES is too large for CHAT_MAX_BODY_BYTES: a body has to hold 4/3 of it and 1,000 bytes more."
    )
CHAT_RETRIES = env.integer("CHAT_RETRIES", 2, 0, 10)
CHAT_RETRY_WAIT = env.number("CHAT_RETRY_WAIT", 0.5, 0.01, 60)
CHAT_RETRY_WAIT_MAX = env.number("CHAT_RETRY_WAIT_MAX", 10, 0.01, 600)
CHAT_CIRCUIT_FAILURES = env.integer("CHAT_CIRCUIT_FAILURES", 5, 0, 10_000)
CHAT_CIRCUIT_SECONDS = env.number("CHAT_CIRCUIT_SECONDS", 30, 0.1, 3600)
CHAT_FALLBACKS = registry.fallbacks(env.text("CHAT_FALLBACKS"), CHAT_PROVIDERS)
CHAT_RETENTION_DAYS = env.integer("CHAT_RETENTION_DAYS", 0, 0, 36_500)
CHAT_EVENTS_HOURS = env.integer("CHAT_EVENTS_HOURS", 1, 1, 24)
CHAT_KEY_LIMITS: dict[str, int | Decimal] = {  # of an API key that has none of its own; 0: none
    "requests_per_minute": env.integer("CHAT_KEY_REQUESTS_PER_MINUTE", 0, 0, 1_000_000),
    "tokens_per_minute": env.integer("CHAT_KEY_TOKENS_PER_MINUTE", 0, 0, 1_000_000_000),
    "concurrent_turns": env.integer("CHAT_KEY_CONCURRENT_TURNS", 0, 0, 1_000_000),
    "budget_day_usd": Decimal(str(env.number("CHAT_KEY_BUDGET_DAY_USD", 0, 0, 10_000_000))),
    "budget_month_usd": Decimal(str(env.number("CHAT_KEY_BUDGET_MONTH_USD", 0, 0, 10_000_000))),
}
CHAT_KEY_CACHE_SECONDS = env.number("CHAT_KEY_CACHE_SECONDS", 2, 0, 60)
CHAT_BUDGET_MAX_TOKENS = env.integer("CHAT_BUDGET_MAX_TOKENS", 4_096, 1, 1_000_000)

# --- Fixed ----------------------------------------------------------------------------------------
ROOT_URLCONF = "chatproject.urls"
ASGI_APPLICATION = "chatproject.asgi.application"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "ninja",  # for the OpenAPI page's static files: no CDN
    "chatproject.observability",
    "chatproject.apikeys",
    "conversations",
    "providers",
]

# Every one is async: a single sync middleware would put a thread under each request and hide disconnects.
# The admin's own (sessions, CSRF, messages) skip the API, where they would cost a thread hop each.
MIDDLEWARE = [
    "chatproject.headers.SecurityHeadersMiddleware",
    "chatproject.cors.CorsMiddleware",
    "chatproject.observability.middleware.RequestContextMiddleware",
    "chatproject.cors.PreflightMiddleware",
    "chatproject.middleware.StaticFilesMiddleware",
    "chatproject.middleware.SessionMiddleware",
    "chatproject.middleware.CommonMiddleware",
    "chatproject.middleware.CsrfViewMiddleware",
    "chatproject.middleware.AuthenticationMiddleware",
    "chatproject.middleware.MessageMiddleware",
    "chatproject.apikeys.middleware.RateLimitMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # straight from the packages: no collectstatic step
WHITENOISE_ALLOW_ALL_ORIGINS = False  # for no site but this one
WHITENOISE_AUTOREFRESH = False  # found once, with DEBUG too

# The body is already bounded in asgi.py, before it is read.
DATA_UPLOAD_MAX_MEMORY_SIZE = CHAT_MAX_BODY_BYTES

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
# "... is not in MIDDLEWARE": these look for Django's own classes, for which ours stand.
SILENCED_SYSTEM_CHECKS = ["security.W001", "security.W002", "security.W003"]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {name: {"()": formatter} for name, formatter in logs.FORMATTERS.items()},
    "filters": {
        "ids": {"()": logs.Ids},
        "redact": {"()": "chatproject.observability.privacy.RedactTracebacks"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["ids", "redact"]},
        "sentry": {
            "()": logs.SentryHandler,
            "level": "INFO",
            "filters": ["ids", "redact"],
        },
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        # Django's own handlers would print a 500 twice, or mail it.
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django.request": {"level": "ERROR"},  # what was refused has its line in chatproject.access
        "aiohttp": {"level": "WARNING"},
        # Our own lines are Sentry's logs. Libraries' may show anything, and every error of theirs is an event.
        **{
            name: {"handlers": ["sentry"] if SENTRY_ENABLE_LOGS else []}
            for name in ("chatproject", "conversations", "providers")
        },
        "asyncio": {"filters": ["redact"]},  # here as well: its messages repeat the exception, and reach Sentry too
    },
}
