"""`./scripts/bench`: reads the options, starts the servers, runs the works, prints what they found."""

import json
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from rich.console import Console

from tests.bench.bench import Bench
from tests.bench.credentials import credentials
from tests.bench.evaluation import evaluation
from tests.bench.ingest import batches, drain, history, memory, sensors, shards
from tests.bench.latency import configuration, rest
from tests.bench.live import live
from tests.bench.machine import DURABLE, describe_briefly, describe_machine
from tests.bench.options import WORKS, Options, read_options
from tests.bench.queries import queries
from tests.bench.results import Row, markdown_of, table_of
from tests.bench.rules import rules
from tests.bench.servers import running_servers
from tests.bench.sweep import sweep

_FUNCTIONS: Final[Mapping[str, Callable[[Bench], Iterator[Row]]]] = {
    work.__name__: work
    for work in (
        drain,
        batches,
        rest,
        live,
        configuration,
        credentials,
        evaluation,
        rules,
        sweep,
        memory,
        sensors,
        history,
        queries,
        shards,
    )
}
_FAILED: Final = 1
_BELOW: Final = 3


def main() -> int:
    """Measure; return the exit code that --help names."""
    options = read_options()
    # As at Ctrl-C: servers are stopped and their folder is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    progress = _console(stderr=True)
    rows: list[Row] = []
    failed = []
    with running_servers(options.folder) as servers:
        machine = describe_machine(servers)
        off = [name for name in DURABLE if machine["postgresql_settings"][name] != "on"]
        if off:
            raise SystemExit(f"PostgreSQL runs with {', '.join(off)} off: commits would cost nothing")
        with Bench(options, servers, progress) as bench:
            for work in options.works:
                bench.say(f"{work}: {WORKS[work]}")
                try:
                    for row in _FUNCTIONS[work](bench):
                        rows.append(row)
                        bench.say(f"  {row.what}: {row.briefly}")
                except Exception:
                    # The others may still be measured; half an hour should not be lost to one of them.
                    traceback.print_exc()
                    failed.append(work)
    _print(options, machine, rows, failed)
    if failed:
        return _FAILED
    return _BELOW if options.check and any(row.verdict == "missed" for row in rows) else 0


def _print(options: Options, machine: dict[str, Any], rows: list[Row], failed: list[str]) -> None:
    shown = _console(stderr=options.json)
    if options.markdown:
        shown.print(markdown_of(rows), markup=False, highlight=False, soft_wrap=True)
    elif rows:
        shown.print(table_of(rows))
    shown.print(describe_briefly(machine), highlight=False)
    if failed:
        shown.print(f"not measured: {', '.join(failed)}")
    if options.json:
        results = [row.as_json() for row in rows]
        document = {"machine": machine, "options": options.scale(), "results": results, "failed": failed}
        print(json.dumps(document, indent=2))


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr)
    # A file has no width; the table needs some.
    return console if console.is_terminal else Console(stderr=stderr, width=140)


if __name__ == "__main__":
    sys.exit(main())
