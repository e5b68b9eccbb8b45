"""The table of Django's database cache, as `createcachetable` makes it: nobody has to run that."""

from django.core.management import call_command
from django.db import migrations, models

TABLE = "chat_cache"


def create(apps, schema_editor):
    """Does nothing when the table is there. With Redis it stays empty, until somebody takes CACHE_URL away."""
    call_command("createcachetable", TABLE, database=schema_editor.connection.alias, verbosity=0)


def drop(apps, schema_editor):
    schema_editor.execute(f"DROP TABLE IF EXISTS {schema_editor.quote_name(TABLE)}")


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.RunPython(create, drop),
        migrations.CreateModel(
            name="Circuit",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.CharField(max_length=32)),
                ("model", models.CharField(max_length=200)),
            ],
            options={"managed": False},
        ),
    ]
