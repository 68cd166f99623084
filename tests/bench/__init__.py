"""Measurements of the whole service on this machine, each beside its floor in the same run: `./scripts/bench`.

| module | noun |
|---|---|
| `options` | what is measured, and at which scale |
| `servers`, `installation` | the three servers, as the product starts them; a database with the product's processes |
| `setup` | what needs Django: migrations, sensors, rules, partitions (a process of its own) |
| `backlog`, `queued` | messages that wait in the broker, and how they are drained |
| `stored` | months of measurements, made by the database |
| `watched` | many rules over many sensors, what these measure, and the alerts that must come of it |
| `silence` | many sensors that are watched for silence, and sweeps over them (a process of its own) |
| `accounts` | accounts at the broker, made directly and tried by logging in |
| `publish`, `viewers` | processes that send and that look |
| `ingest`, `evaluation`, `rules`, `sweep`, `latency`, `credentials`, `live`, `queries`, `export` | the works |
| `results`, `machine`, `processes`, `web` | figures, where they were taken, what processes used, an HTTP connection |
"""
