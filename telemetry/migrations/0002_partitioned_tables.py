"""The three tables of entries, partitioned by month.

`telemetry/partitions.py` makes the months, on demand and ahead; here is the one partition for everything older
than the first of them. There is no DEFAULT partition: rows in it would block making their month later.
"""

from django.db import migrations

FORWARD = """
CREATE TABLE telemetry_measurement (
    sensor_id bigint NOT NULL,
    measured_at timestamptz NOT NULL,
    digest bigint NOT NULL,
    received_at timestamptz NOT NULL,
    revision integer NOT NULL,
    value jsonb NOT NULL,
    PRIMARY KEY (sensor_id, measured_at, digest)
) PARTITION BY RANGE (measured_at);

CREATE TABLE telemetry_heartbeat (
    sensor_id bigint NOT NULL,
    measured_at timestamptz NOT NULL,
    digest bigint NOT NULL,
    received_at timestamptz NOT NULL,
    revision integer NOT NULL,
    success boolean NOT NULL,
    PRIMARY KEY (sensor_id, measured_at, digest)
) PARTITION BY RANGE (measured_at);

CREATE TABLE telemetry_logmessage (
    sensor_id bigint NOT NULL,
    measured_at timestamptz NOT NULL,
    digest bigint NOT NULL,
    received_at timestamptz NOT NULL,
    revision integer NOT NULL,
    severity varchar(7) NOT NULL CHECK (severity IN ('info', 'warning', 'error')),
    subject text NOT NULL,
    details text,
    PRIMARY KEY (sensor_id, measured_at, digest)
) PARTITION BY RANGE (measured_at);

-- The newest log messages of many sensors at once; each partition gets its own.
CREATE INDEX telemetry_logmessage_by_time ON telemetry_logmessage (measured_at, sensor_id, digest);

CREATE TABLE telemetry_measurement_old PARTITION OF telemetry_measurement
    FOR VALUES FROM (MINVALUE) TO ('2020-01-01 00:00:00+00');
CREATE TABLE telemetry_heartbeat_old PARTITION OF telemetry_heartbeat
    FOR VALUES FROM (MINVALUE) TO ('2020-01-01 00:00:00+00');
CREATE TABLE telemetry_logmessage_old PARTITION OF telemetry_logmessage
    FOR VALUES FROM (MINVALUE) TO ('2020-01-01 00:00:00+00');
"""

BACKWARD = "DROP TABLE telemetry_measurement, telemetry_heartbeat, telemetry_logmessage;"


class Migration(migrations.Migration):
    dependencies = [("telemetry", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
