"""Where figures were taken: the machine, the programs, the settings that decide what a commit costs."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg

from tests.bench.servers import ROOT, Servers

# What must be on, because a commit that is not on disk costs next to nothing.
DURABLE: Final = ("fsync", "synchronous_commit", "full_page_writes")
_SHOWN: Final = (*DURABLE, "wal_level", "shared_buffers", "max_wal_size", "max_connections")


def describe_machine(servers: Servers) -> dict[str, Any]:
    """Return the description as JSON."""
    with psycopg.connect(servers.database.superuser_url) as connection:
        release = connection.info.server_version
        rows = connection.execute(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)", [[*_SHOWN]]
        )
        settings: dict[str, str] = dict(rows.fetchall())
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "postgresql": f"{release // 10_000}.{release % 10_000}",
        "postgresql_settings": {name: settings[name] for name in _SHOWN},
        "valkey": servers.valkey.release,
        "mosquitto": servers.broker.release,
    }


def describe_briefly(machine: dict[str, Any]) -> str:
    """Return two lines for a person."""
    settings = ", ".join(f"{name}={value}" for name, value in machine["postgresql_settings"].items())
    return (
        f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gib']} GiB, load {machine['load_before']}"
        f" before; Python {machine['python']}, PostgreSQL {machine['postgresql']}, mosquitto {machine['mosquitto']},"
        f" Valkey {machine['valkey']}; commit {machine['commit']}\nPostgreSQL: {settings}"
    )


def _commit() -> str:
    def git(*arguments: str) -> str:
        answer = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        return answer.stdout.strip()

    try:
        return (git("rev-parse", "--short", "HEAD") or "unknown") + (" and changes" if git("status", "--short") else "")
    except OSError:
        return "unknown"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
