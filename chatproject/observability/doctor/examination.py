"""The examination itself: sends each parcel, asks the API, puts together what it means. All I/O is probe.py's."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from sentry_sdk.utils import Dsn

from chatproject.observability.doctor import oddities, probe, servers, storage
from chatproject.observability.doctor.fates import STORED, Fate, fates_of, unsent
from chatproject.observability.doctor.payloads import Parcel, Sample
from chatproject.observability.doctor.ratelimits import RateLimit, rate_limits
from chatproject.observability.doctor.verdicts import Outcome, dsn_secrets, without_key


@dataclasses.dataclass(frozen=True)
class Configuration:
    """The settings that matter here, under their names without SENTRY_."""

    dsn: str = dataclasses.field(repr=False)
    environment: str
    release: str
    enable_tracing: bool
    traces_sample_rate: float
    profiles_sample_rate: float
    send_default_pii: bool
    include_prompts: bool
    enable_logs: bool
    event_url: str
    auth_token: str = dataclasses.field(repr=False)
    org: str
    project: str
    url: str

    @property
    def secrets(self) -> list[str]:
        """What no output may repeat."""
        return [*dsn_secrets(self.dsn), *([self.auth_token] if self.auth_token else [])]

    def shown(self, proxy: str) -> dict[str, Any]:
        return {
            "dsn": without_key(self.dsn),
            "environment": self.environment,
            "release": self.release,
            "tracing": self.enable_tracing,
            "traces_sample_rate": self.traces_sample_rate,
            "profiles_sample_rate": self.profiles_sample_rate,
            "send_default_pii": self.send_default_pii,
            "include_prompts": self.include_prompts,
            "logs": self.enable_logs,
            "api": self.url or servers.api_url(self.dsn),
            "auth_token": bool(self.auth_token),
            "proxy": proxy,
        }


class Examination:
    """One run of the command."""

    def __init__(self, configuration: Configuration, options: Mapping[str, Any], timeout: float) -> None:
        """`options` are the running client's; `timeout` is the longest wait for one answer, in seconds."""
        self.configuration, self.options, self.timeout = configuration, options, timeout
        self.dsn = str(options["dsn"] or "")
        self.sample = Sample(options)
        self.proxy = probe.proxy_of(options) if self.dsn else ""

    def dry_run(self) -> dict[str, Any]:
        """What would be sent, and what is odd about the configuration. Sends nothing."""
        return {
            "dry_run": True,
            "configuration": self.configuration.shown(self.proxy),
            "would_send": [
                {
                    "item": part.name,
                    "type": part.type,
                    "bytes": len(part.item.get_bytes()),
                    "payload": part.item.payload.json,
                }
                for parcel in self.sample.parcels()
                for part in parcel.parts
            ],
            "oddities": [dataclasses.asdict(oddity) for oddity in oddities.find(self._facts([], None))],
        }

    def run(self, wait: float) -> dict[str, Any]:
        """Sends everything; with a token, waits at most `wait` seconds for the event to be stored."""
        answers, fates, server = self._send_all()
        error, *others = fates
        stored = self._look_for_event(wait) if error.taken and self.configuration.auth_token else None
        if stored and stored.state == storage.STORED:
            error = dataclasses.replace(error, fate=STORED, reason=stored.reason)
        fates = [error, *others]
        return {
            "dry_run": False,
            "configuration": self.configuration.shown(self.proxy),
            "accepted": error.taken and (stored is None or error.fate == STORED),
            "server": server.kind,
            "items": [dataclasses.asdict(fate) for fate in fates],
            "not_taken": [fate.item for fate in fates if not fate.taken],
            "rate_limits": [dataclasses.asdict(limit) for limit in unique_limits(answers)],
            "event_id": self.sample.event_id if self.dsn else None,
            "event_url": self._event_url(error, stored),
            "storage": {"state": stored.state, "reason": stored.reason, "fix": stored.fix} if stored else None,
            "oddities": [dataclasses.asdict(oddity) for oddity in oddities.find(self._facts(answers, stored))],
        }

    def _send_all(self) -> tuple[list[Outcome], list[Fate], servers.Server]:
        first, *rest = self.sample.parcels()
        answer = self._send(first)
        server = self._recognise(answer)
        fates = fates_of(first, answer, server, self.configuration.secrets)
        if answer.status is None:  # nobody there: the rest would only wait as long again
            return [answer], [*fates, *(fate for parcel in rest for fate in unsent(parcel, "Not tried."))], server
        answers = [answer]
        for parcel in rest:
            answers.append(self._send(parcel))
            fates += fates_of(parcel, answers[-1], server, self.configuration.secrets)
        return answers, fates, server

    def _send(self, parcel: Parcel) -> Outcome:
        if not self.dsn:
            return Outcome(failure="no_dsn")
        return probe.send(parcel.envelope(), self.options, self.timeout)

    def _recognise(self, answer: Outcome) -> servers.Server:
        if answer.status is None:
            return servers.UNKNOWN
        server = servers.recognise(self.dsn, answer.headers)
        if server is servers.UNKNOWN and answer.status == 200:
            settings = probe.get(servers.settings_url(self.dsn), self.options, self.timeout)
            return servers.GLITCHTIP if servers.is_glitchtip(settings) else server
        return server

    def _look_for_event(self, wait: float) -> storage.Storage:
        configuration = self.configuration
        base = f"{configuration.url or servers.api_url(self.dsn)}/api/0/"
        headers = {"Authorization": f"Bearer {configuration.auth_token}", "Accept": "application/json"}
        return storage.look_for(
            lambda path: probe.get(base + path, self.options, self.timeout, headers),
            self.sample.event_id,
            wait,
            organization=configuration.org,
            project=configuration.project,
            project_id=Dsn(self.dsn).project_id,
            web_url=configuration.url or servers.web_url(self.dsn),
        )

    def _event_url(self, error: Fate, stored: storage.Storage | None) -> str | None:
        if not error.taken:
            return None
        template = self.configuration.event_url.replace("{event_id}", self.sample.event_id)
        return (stored.url if stored else "") or template or None

    def _switched_off(self) -> list[str]:
        configuration = self.configuration
        sent = {
            "transactions": configuration.traces_sample_rate > 0,
            "profiles": configuration.profiles_sample_rate > 0,
            "logs": configuration.enable_logs,
        }
        return [kind for kind, on in sent.items() if not on]

    def _facts(self, answers: list[Outcome], stored: storage.Storage | None) -> oddities.Facts:
        configuration, first = self.configuration, answers[0] if answers else Outcome()
        project = stored.project if stored else None
        return oddities.Facts(
            environment=configuration.environment,
            release=configuration.release,
            traces_sample_rate=configuration.traces_sample_rate,
            profiles_sample_rate=configuration.profiles_sample_rate,
            send_pii=configuration.send_default_pii,
            include_prompts=configuration.include_prompts,
            incoming_traces_forced=bool(self.dsn) and oddities.forces_incoming_traces(self.options),
            clock_ahead_s=oddities.clock_ahead(first.headers.get("date", ""), first.at),
            proxy=self.proxy,
            via=servers.foreign_via(self.dsn, first.headers),
            web_page=any(answer.is_page for answer in answers),
            project_slug=project.slug if project else configuration.project,
            dsn_project=Dsn(self.dsn).project_id if self.dsn else "",
            slug_project=project.id if project else "",
            switched_off=", ".join(self._switched_off()) if self.dsn else "",
        )


def unique_limits(answers: list[Outcome]) -> list[RateLimit]:
    """The limits of all answers, each once."""
    found: list[RateLimit] = []
    for answer in answers:
        found += [limit for limit in rate_limits(answer) if limit not in found]
    return found
