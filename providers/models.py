"""No table: what the admin needs to list the circuits, which are in the cache (circuit_store.py)."""

from django.db import models


class NoRows(models.Manager["Circuit"]):
    """For whoever asks every model for its rows, as `dumpdata` does."""

    def get_queryset(self) -> models.QuerySet["Circuit"]:
        return super().get_queryset().none()


class Circuit(models.Model):
    provider = models.CharField(max_length=32)
    model = models.CharField(max_length=200)

    objects = NoRows()

    class Meta:
        managed = False

    def __str__(self) -> str:
        return f"{self.provider}, {self.model}"
