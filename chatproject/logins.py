"""Guessing the admin's passwords, slowed down: each attempt takes one of a few places, and a place is free again after
WINDOW seconds, or at once when the password was right.

There are places for a name from one address, for an address, and for a name from all addresses. The last would let an
attacker with many addresses keep a real admin out; so a browser that has logged in before bears a signed cookie, and
has places of its own. Not django-axes: it counts with a read and a write, which parallel attempts get past.
"""

import hashlib
import ipaddress
import logging
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core import signing
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse

logger = logging.getLogger(__name__)

WINDOW = 900
"""Seconds."""
OF_PAIR, OF_ADDRESS, OF_NAME, OF_BROWSER = 5, 30, 100, 10
"""Places."""
COOKIE, COOKIE_AGE, SALT = "known_browser", 90 * 86_400, "chatproject.logins"


class LoginForm(AdminAuthenticationForm):
    throttled = False

    def clean(self) -> dict[str, Any]:
        if not self.cleaned_data.get("username") or not self.cleaned_data.get("password"):
            return super().clean()  # which asks nobody
        try:
            places = take(wanted(self.request, self.cleaned_data["username"]))  # type: ignore[arg-type]
        except (
            Exception
        ) as error:  # whatever the cache's client raises: without Redis there must be an admin all the same
            logger.warning("logins are not throttled, the cache is away: %s", type(error).__name__)
            places = []
        if places is None:
            self.throttled = True
            raise ValidationError(
                "Too many attempts. Try again in %(minutes)d minutes.", params={"minutes": WINDOW // 60}
            )
        cleaned = super().clean()
        if places:
            cache.delete_many(places)
        return cleaned


def login(request: HttpRequest) -> HttpResponse:
    """The admin's page, with a 429 for what is throttled and the cookie for who has logged in."""
    response: HttpResponse = admin.site.login(request)
    if request.method != "POST":
        return response
    form = (getattr(response, "context_data", None) or {}).get("form")
    if form is not None and getattr(form, "throttled", False):
        response.status_code = 429
        response["Retry-After"] = str(WINDOW)
    elif response.status_code == 302:
        value = signing.dumps(request.user.get_username(), salt=SALT)
        secure = settings.SESSION_COOKIE_SECURE
        response.set_cookie(COOKIE, value, COOKIE_AGE, path="/admin/", secure=secure, httponly=True, samesite="Lax")
    return response


def wanted(request: HttpRequest, name: str) -> list[tuple[str, int]]:
    """What the attempt needs a place of, with how many there are."""
    who, where = name.casefold(), address_of(request)
    cookie = request.COOKIES.get(COOKIE, "")
    if cookie and known(cookie, name):
        return [(f"browser {cookie}", OF_BROWSER)]
    return [(f"pair {where} {who}", OF_PAIR), (f"address {where}", OF_ADDRESS), (f"name {who}", OF_NAME)]


def known(cookie: str, name: str) -> bool:
    try:
        return bool(signing.loads(cookie, salt=SALT, max_age=COOKIE_AGE) == name)
    except signing.BadSignature:
        return False


def take(kinds: Iterable[tuple[str, int]]) -> list[str] | None:
    """The places taken, one of each kind; None when a kind has none left."""
    taken: list[str] = []
    for kind, count in kinds:
        digest = hashlib.sha256(kind.encode()).hexdigest()  # a cache takes no odd keys, and need not know names
        keys = [f"login:{digest}:{number}" for number in range(count)]
        full = cache.get_many(keys)
        # add() alone decides: two attempts at once never get the same place.
        place = next((key for key in keys if key not in full and cache.add(key, 1, WINDOW)), None)
        if place is None:
            cache.delete_many(taken)
            return None
        taken.append(place)
    return taken


def address_of(request: HttpRequest) -> str:
    """The client's, as the outermost of TRUSTED_PROXIES saw it; of IPv6 the network, since a client has all of it."""
    address: str = request.META.get("REMOTE_ADDR", "")
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",")]
    if 0 < settings.TRUSTED_PROXIES <= len(hops):
        address = hops[-settings.TRUSTED_PROXIES]
    try:
        ip = ipaddress.ip_address(without_port(address))
    except ValueError:
        return address
    if ip.version == 4:
        return str(ip)
    # A socket for both has an IPv4 client as ::ffff:192.0.2.1; their network would be one for all of them.
    return str(ip.ipv4_mapped or ipaddress.ip_network(f"{ip}/64", strict=False))


def without_port(address: str) -> str:
    """Some proxies name the client's port as well: `192.0.2.1:4711`, `[2001:db8::1]:4711`."""
    bare, colon, port = address.rpartition(":")
    with_port = colon and port.isdecimal() and (bare.endswith("]") or ":" not in bare)
    return (bare if with_port else address).strip("[]")
