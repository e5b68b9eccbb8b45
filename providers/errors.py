"""The ways in which a provider fails. The adapter translates into these once; nobody else sees an SDK's exception."""

from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(kw_only=True, eq=False)
class ProviderError(Exception):
    """A provider's failure: a code, the HTTP status it means for our caller, and a message fit for users."""

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    template: ClassVar[str]
    """What happened and what to do, with {provider} for its name."""
    retryable: ClassVar[bool] = False
    """Whether the same request may succeed a moment later. Then another provider may be asked as well."""
    falls_back: ClassVar[bool] = False
    """Whether another provider may well answer, though this one will not."""
    callers_fault: ClassVar[bool] = False
    """Whether the request was at fault, so that the provider's own words help whoever made it."""
    level: ClassVar[str] = "error"
    """Sentry's level of the event."""

    provider: str
    """The provider's label."""
    provider_status: int | None = None
    """The HTTP status it answered, if it did."""
    provider_request_id: str | None = None
    """Its own id of the request, which its support asks for."""
    retry_after: float | None = None
    """Seconds it asked us to wait."""
    reason: str = field(default="", repr=False)
    """Its own words. They may echo the prompt or a key: Sentry gets them through `privacy.told`, the log never."""
    cause: str = ""
    """The class of the exception that told us."""

    def __str__(self) -> str:
        return self.template.format(provider=self.provider)

    def quotable(self, api_key: str) -> str | None:
        """The provider's own words where they help the caller mend the request, without our key; None elsewhere."""
        if not self.callers_fault or not self.reason:
            return None
        return self.reason.replace(api_key, "[key]") if api_key else self.reason

    def facts(self) -> dict[str, Any]:
        """What Sentry may know of it."""
        return {
            "code": self.code,
            "retryable": self.retryable,
            "provider_status": self.provider_status,
            "provider_request_id": self.provider_request_id,
            "retry_after_s": self.retry_after,
            "cause": self.cause,
        }


class AuthenticationFailed(ProviderError):
    code = "authentication"
    status = 502
    title = "The provider refused our credentials"
    template = "{provider} refused this server's API key. Its operator has to check the key."
    falls_back = True


class QuotaExhausted(ProviderError):
    code = "quota_exhausted"
    status = 502
    title = "Our account with the provider is out of credit"
    template = "{provider} says that this server's account is out of credit. Its operator has to top it up."
    falls_back = True


class RateLimited(ProviderError):
    code = "rate_limited"
    status = 429
    title = "The provider's rate limit is reached"
    template = "{provider} is limiting our requests. Try again later, or choose another provider."
    retryable = True
    level = "warning"


class ContextTooLong(ProviderError):
    code = "context_too_long"
    status = 413
    title = "The conversation is too long for the model"
    template = "{provider} says that the messages do not fit the model's context. Shorten them or choose another model."
    callers_fault = True


class BadRequest(ProviderError):
    code = "provider_bad_request"
    status = 400
    title = "The provider did not accept the request"
    template = "{provider} did not accept the request. Check the parameters against what the model supports."
    callers_fault = True


class UnknownModel(ProviderError):
    code = "unknown_model"
    status = 400
    title = "The provider does not have this model"
    template = "{provider} does not have this model, or not for this server's account."
    callers_fault = True


class ContentFiltered(ProviderError):
    code = "content_filter"
    status = 422
    title = "The provider's content filter stopped the answer"
    template = "{provider} declined to answer this message because of its content policy."
    callers_fault = True


class Timeout(ProviderError):
    code = "timeout"
    status = 504
    title = "The provider took too long"
    template = "{provider} did not answer in time. Try again, or choose another provider."
    retryable = True


class Unreachable(ProviderError):
    code = "unreachable"
    status = 503
    title = "The provider cannot be reached"
    template = "{provider} cannot be reached, or the connection broke. Try again, or choose another provider."
    retryable = True


class ServerError(ProviderError):
    code = "server_error"
    status = 502
    title = "The provider failed"
    template = "{provider} reported a failure of its own. Try again, or choose another provider."
    retryable = True


class MalformedAnswer(ProviderError):
    code = "malformed_answer"
    status = 502
    title = "The provider's answer makes no sense"
    template = "{provider} sent an answer that is not in the expected form. Its base URL may be wrong."
    retryable = True


class EmptyAnswer(ProviderError):
    code = "empty_answer"
    status = 502
    title = "The provider's answer is empty"
    template = "{provider} ended its answer without a word. Try again, or choose another model."
    retryable = True


class CircuitOpen(ProviderError):
    code = "circuit_open"
    status = 503
    title = "The provider has failed too often of late"
    template = "{provider} has failed too often of late and gets a pause. Try again later, or choose another provider."
    falls_back = True


ALL: tuple[type[ProviderError], ...] = (
    AuthenticationFailed,
    QuotaExhausted,
    RateLimited,
    ContextTooLong,
    BadRequest,
    UnknownModel,
    ContentFiltered,
    Timeout,
    Unreachable,
    ServerError,
    MalformedAnswer,
    EmptyAnswer,
    CircuitOpen,
)
