"""Every read of telemetry that is shown; where a user is involved it starts at what they may see."""

from telemetry.queries.entries import (
    attributes_of,
    heartbeats_of,
    latest_of,
    log_messages_of,
    log_summary,
    measurements_of,
    visible_latest,
    visible_log_messages,
    with_identifier,
)
from telemetry.queries.limits import time_limit
from telemetry.queries.rejected import visible_rejected
from telemetry.queries.series import MAX_POINTS, Bucket, Series, bucket_s_for, series

__all__ = [
    "MAX_POINTS",
    "Bucket",
    "Series",
    "attributes_of",
    "bucket_s_for",
    "heartbeats_of",
    "latest_of",
    "log_messages_of",
    "log_summary",
    "measurements_of",
    "series",
    "time_limit",
    "visible_latest",
    "visible_log_messages",
    "visible_rejected",
    "with_identifier",
]
