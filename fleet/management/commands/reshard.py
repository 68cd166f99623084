"""`manage.py reshard`: change how many bridges share the sensors."""

import json
import signal
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any, Final

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from fleet.mqtt.address import BrokerAddress
from fleet.mqtt.guard import SetLock, SetLockLostError, ShardsBusyError
from fleet.mqtt.reshard import Outcome, Plan, Progress, Resharding, read_plan
from fleet.mqtt.sessions import BrokerUnavailableError
from fleet.mqtt.shards import MAX_SHARDS, Shard
from sensors.database import limit_connections

EXIT_UNAVAILABLE: Final = 69  # EX_UNAVAILABLE of sysexits.h
EXIT_BUSY: Final = 75  # EX_TEMPFAIL
EXIT_INTERRUPTED: Final = 130
SAY_EVERY_S: Final = 2.0


class Interrupted(Exception):  # noqa: N818 - not an error
    """SIGINT or SIGTERM came."""


class Command(BaseCommand):
    """Moves from the present set of shards to one of N."""

    help = (
        "Change how many bridges share the sensors, and lose, double or reorder nothing.\n\n"
        "End all bridges first; sensors go on, and the broker keeps what they send. The command finds out by itself\n"
        "which set of shards there is. It lets the broker queue for the N new ones, stores what waits for the old\n"
        "ones, deletes their sessions at the broker, and says which bridges to start. It takes as long as the\n"
        "bridges would need for what waits. Where no bridge has ever run there is nothing to do.\n\n"
        "It may be killed at any moment: run it again, or with the former N to stay with that. Until it is\n"
        "done, a bridge of the wrong set does not start but waits, and says so in its log and at /readyz.\n\n"
        "Exit codes: 0 done or nothing to do, 1 wrong arguments or MQTT_URL, 69 the broker or the database could\n"
        "not be reached (run it again), 75 bridges are running or somebody else is re-sharding (nothing was\n"
        "changed), 130 interrupted (run it again)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare N, --dry-run and --json."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.add_argument("count", type=int, metavar="N", help=f"how many bridges there shall be, 1 to {MAX_SHARDS}")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
        parser.add_argument("--json", action="store_true", help="print the result as one line of JSON; no progress")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Re-shard, and say what was done and what to start."""
        try:
            address = BrokerAddress.from_url(settings.MQTT_URL)
            # A file that it names and that cannot be used is told here, before anything runs.
            address.tls_context()
        except ValueError as error:
            raise CommandError(str(error)) from error
        to = options["count"]
        if not 1 <= to <= MAX_SHARDS:
            raise CommandError(f"{to} is no number of shards: 1 to {MAX_SHARDS}, one for each bridge")
        self._is_json, self._said_at = options["json"], 0.0
        # A stuck statement ends as an error and is tried again, as in the bridge.
        limit_connections(statement_s=30, by_key=True)
        try:
            plan = read_plan(to)
            if options["dry_run"]:
                self._show_plan(plan)
                return
            if not plan.is_needed:
                # Also while those bridges run.
                self._show_outcome(Outcome(plan))
                return
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._interrupted)
            with SetLock() as lock:
                outcome = Resharding(address, lock, to, check=self._check, report=self._tell).run()
        except ShardsBusyError as error:
            self._fail(f"{error}. End them and run this again; nothing was changed.", EXIT_BUSY)
        except (BrokerUnavailableError, SetLockLostError, psycopg.Error) as error:
            self._fail(f"{str(error).splitlines()[0]}. Run this again; what was done so far stays.", EXIT_UNAVAILABLE)
        except Interrupted:
            self._fail("Interrupted. Run this again, or with the former number to go back.", EXIT_INTERRUPTED)
        finally:
            connection.close()
        self._show_outcome(outcome)

    _was_interrupted = False

    def _interrupted(self, *_: Any) -> None:
        self._was_interrupted = True

    def _check(self) -> None:
        if self._was_interrupted:
            raise Interrupted

    def _fail(self, why: str, code: int) -> None:
        self.stderr.write(why)
        sys.exit(code)

    def _tell(self, progress: Progress) -> None:
        if self._is_json:
            return
        if not progress.is_done:
            if time.monotonic() - self._said_at < SAY_EVERY_S:
                return
            self._said_at = time.monotonic()
        self.stdout.write(_line(progress))
        self.stdout.flush()

    def _show_plan(self, plan: Plan) -> None:
        if self._is_json:
            self.stdout.write(json.dumps(_plan_json(plan)))
            return
        if not plan.is_needed:
            self.stdout.write(_nothing_to_do(plan))
            return
        if plan.running:
            self.stdout.write(f"These bridges must be ended first: {_listed(plan.running)}.")
        if plan.old:
            self.stdout.write(f"Sessions that the broker would be told to keep: {_listed(plan.new)}.")
            self.stdout.write(f"Sessions whose messages would be stored: {_listed(plan.draining)}.")
        self.stdout.write(f"Sessions that would be deleted: {_listed(plan.clearing)}.")
        self.stdout.write(_to_start(plan.new, "Bridges to start then"))

    def _show_outcome(self, outcome: Outcome) -> None:
        plan = outcome.plan
        if self._is_json:
            drained = [
                {
                    "shard": str(each.shard),
                    "had_session": each.had_session,
                    "messages": each.messages,
                    "stored": each.stored,
                }
                for each in outcome.drained
            ]
            until = outcome.drained_until and outcome.drained_until.isoformat()
            self.stdout.write(json.dumps({**_plan_json(plan), "drained": drained, "drained_until": until}))
            return
        self.stdout.write(_to_start(plan.new, "Done. Start") if plan.is_needed else _nothing_to_do(plan))


def _line(progress: Progress) -> str:
    if progress.step == "open":
        return f"{progress.shard}: the broker queues for it"
    if progress.step == "drain" and progress.drainage is not None:
        drainage = progress.drainage
        text = f"{progress.shard}: {drainage.messages:,} messages stored ({drainage.stored:,} new entries)"
        if not progress.is_done:
            return f"{text} so far"
        return text if drainage.had_session else f"{text}; the broker had no session, and what waited is lost with it"
    if progress.step == "switch":
        return "the new shards are in use from now on"
    return f"{progress.shard}: its session is deleted"


def _plan_json(plan: Plan) -> dict[str, Any]:
    return {
        "to": plan.to,
        "is_needed": plan.is_needed,
        "old": list(plan.old),
        "leftover": list(plan.leftover),
        "running": [str(shard) for shard in plan.running],
        "start": [f"bridge --shard {shard}" for shard in plan.new],
    }


def _nothing_to_do(plan: Plan) -> str:
    return _to_start(plan.new, "Nothing to do. The bridges are")


def _to_start(shards: tuple[Shard, ...], what: str) -> str:
    return f"{what}: {', '.join(f'manage.py bridge --shard {shard}' for shard in shards)}"


def _listed(shards: tuple[Shard, ...]) -> str:
    return ", ".join(str(shard) for shard in shards)
