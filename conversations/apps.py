from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ConversationsConfig(AppConfig):
    name = "conversations"

    def ready(self) -> None:
        from conversations.search.tables import restore_triggers

        post_migrate.connect(restore_triggers, sender=self)
