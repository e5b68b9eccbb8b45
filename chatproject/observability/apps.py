from django.apps import AppConfig


class ObservabilityConfig(AppConfig):
    name = "chatproject.observability"

    def ready(self) -> None:
        from chatproject.observability import checks  # noqa: F401
