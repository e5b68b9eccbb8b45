from django.apps import AppConfig


class ApiKeysConfig(AppConfig):
    name = "chatproject.apikeys"
    verbose_name = "API keys"

    def ready(self) -> None:
        from chatproject.apikeys import checks  # noqa: F401 (registers them)
