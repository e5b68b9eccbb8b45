"""Sentry's own judgement of an event or a transaction: the normaliser that its servers run, from PyPI's `sentry-relay`.

It strikes out what it cannot take and notes why under `_meta`; the event's page then shows "There was 1 problem
processing this event". https://develop.sentry.dev/sdk/data-model/event-payloads/#_meta
"""

from collections.abc import Iterator
from typing import Any

from sentry_relay.processing import StoreNormalizer


def complaints(payload: dict[str, Any]) -> list[str]:
    """What Sentry would strike out of an item of type `event` or `transaction`, as "path: reason"; none is good."""
    normalised = StoreNormalizer(remove_other=True, normalize_user_agent=True).normalize_event(payload)
    return [f"{'.'.join(path)}: {error}" for path, error in errors_in(normalised.get("_meta") or {})]


def errors_in(meta: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in meta.items():
        if name == "":
            yield from ((path, error) for error in value.get("err") or [])
        else:
            yield from errors_in(value, (*path, name))
