from django.apps import AppConfig


class ApiKeysConfig(AppConfig):
    name = "chatproject.apikeys"
    verbose_name = "API keys"
