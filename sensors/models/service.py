"""How far the service's own processes are, so that their absence is never taken for the sensors'."""

from django.db import models


class Watermark(models.Model):
    """Up to when one shard's bridge has stored everything that the broker had for it.

    Written by that bridge, with or after the data. Silence is judged against the least of them.
    """

    shard = models.CharField(max_length=16, primary_key=True, help_text="I/N as in `bridge --shard I/N`.")
    drained_until = models.DateTimeField(null=True)
    # Since when the bridge is drained without interruption; a stale sweep waits a period from here.
    steady_since = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.shard


class ServiceTick(models.Model):
    """When one part (bridge I/N, worker, beat) last showed that it does its work. Written by that part."""

    name = models.CharField(max_length=40, primary_key=True)
    at = models.DateTimeField()
    detail = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.name
