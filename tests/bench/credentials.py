"""How soon a credential lets its sensor in or out: one after another, and very many of one call."""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from fleet.mqtt.accounts import Login
from fleet.mqtt.dynamic_security import end_account, make_account
from sensors.secrets import new_secret
from tests.bench.accounts import (
    WITHIN_S,
    DirectAccounts,
    await_closed,
    connected,
    connected_when_accepted,
    stay_out,
)
from tests.bench.bench import Bench
from tests.bench.installation import NETWORK, Installation, Running
from tests.bench.latency import whole_product
from tests.bench.processes import cpu_between, cpu_seconds
from tests.bench.results import Row, Run, Target
from tests.bench.web import Web

# Of the credentials of one call so many are also issued, rotated and revoked one after another: 50 by default.
SINGLES_SHARE: Final = 1 / 20
# After its end a credential is tried so often, over a fifth of a second.
TRIES: Final = 10
TRY_EVERY_S: Final = 0.02
# Until it is let in a sensor tries again after so long: short beside the figure, long beside what refusing costs the
# broker and the bridge, which reads of it in the broker's log.
AGAIN_S: Final = 0.005
AGAIN_OF_MANY_S: Final = 0.05
# The calls with very many: at a broker without accounts, then beside those of the first.
CALLS: Final = ("empty", "beside")

_DIRECTLY: Final = "the same commands sent to the broker directly"
_AND_CONNECT: Final = f"{_DIRECTLY}, then CONNECT"

_Figures = dict[str, list[float]]


def credentials(bench: Bench) -> Iterator[Row]:
    """Issue, rotate and revoke, each judged by its slowest; then two calls that issue very many."""
    many = bench.options.credentials
    singles = max(1, round(many * SINGLES_SHARE))

    def once(_run: int) -> dict[str, Run]:
        with bench.installation("credentials", sensors=singles) as installation:
            direct = _make_many_directly(installation, many)
            with whole_product(installation) as running:
                one_by_one = _one_by_one(running, singles)
                in_one_call = _in_one_call(running, many, direct)
        return one_by_one | in_one_call

    runs = bench.repeat(once)

    def row(name: str, what: str, unit: str, target: Target, floor_is: str = "") -> Row:
        return Row("credentials", what, unit, [run[name] for run in runs], floor_is, target)

    slowest = f"slowest of {singles}"
    for name, what, most_s, floor_is in (
        ("issue", f"POST → the first CONNECT with it, {slowest}", 2, _AND_CONNECT),
        ("closed", f"POST that rotates → the older connection is closed, {slowest}", 5, _DIRECTLY),
        ("rotate", f"POST that rotates → CONNECT with the new password, {slowest}", 2, _AND_CONNECT),
        ("revoke", f"DELETE → its connection is closed, then {TRIES} CONNECTs are refused, {slowest}", 5, _DIRECTLY),
    ):
        yield row(name, what, "ms", Target(1_000 * most_s, small=True), floor_is)
    for call, where in zip(CALLS, ("a broker without accounts", f"{many:,} accounts there already"), strict=True):
        what = f"{many:,} sensors with credentials in one POST, {where}"
        yield row(f"{call} answered", f"{what}: answered", "s", Target(10, small=True))
        yield row(f"{call} usable", f"{what}: all can log in", "s", Target(10, small=True), _AND_CONNECT)


# --- One after another -------------------------------------------------------------------------------


def _one_by_one(running: Running, count: int) -> dict[str, Run]:
    """Issue, rotate and revoke those of `count` sensors, each after the same commands sent directly."""
    servers = running.installation.servers
    port = servers.broker.port
    taken: _Figures = {}
    floor: _Figures = {}
    ended = []
    web = Web(running)
    with DirectAccounts(servers.broker.url) as accounts, ThreadPoolExecutor(1) as pool:
        # Connections are opened and statements planned.
        _one(web, pool, port, "probe", {})
        for number in range(count):
            _one_directly(accounts, port, f"direct-{number}", floor)
            ended += _one(web, pool, port, f"s-{number}", taken)
    web.close()
    # What was done for others since has brought none of them back.
    for login in ended:
        stay_out(port, login)
    return {
        name: Run(
            max(taken[name]),
            max(floor[name]),
            {"p50": statistics.median(taken[name]), "floor_p50": statistics.median(floor[name])}
            | {detail: statistics.median(taken[detail]) for detail in _DETAILS[name]}
            | {detail: statistics.median(floor[detail]) for detail in _FLOOR_DETAILS[name]},
        )
        for name in _DETAILS
    }


_DETAILS: Final = {
    "issue": ["answered_p50", "after_answer_p50"],
    "closed": [],
    "rotate": [],
    "revoke": ["revoke_answered_p50"],
}
_FLOOR_DETAILS: Final = {"issue": ["floor_answered_p50", "connect_p50"], "closed": [], "rotate": [], "revoke": []}


def _one(web: Web, pool: ThreadPoolExecutor, port: int, name: str, taken: _Figures) -> list[Login]:
    """Note how long each step took in ms, and return both logins, which have ended."""
    path = f"sensors/{name}/credential/"
    clock = _Clock(taken)
    old = Login(name, web.post(path)["password"])
    answered_ms = clock.note("answered_p50")
    client = connected_when_accepted(port, old, again_after_s=AGAIN_S)
    clock.note("after_answer_p50", since_ms=answered_ms)
    clock.note("issue")

    clock = _Clock(taken)
    # The connection may be closed before the answer is here.
    answer = pool.submit(web.post, path)
    await_closed(client)
    clock.note("closed")
    new = Login(name, answer.result()["password"])
    client = connected_when_accepted(port, new, again_after_s=AGAIN_S)
    clock.note("rotate")
    stay_out(port, old)

    clock = _Clock(taken)
    revoked = pool.submit(web.delete, path)
    revoked.add_done_callback(lambda _: clock.note("revoke_answered_p50"))
    await_closed(client)
    clock.note("revoke")
    revoked.result()
    stay_out(port, new, times=TRIES, pause_s=TRY_EVERY_S)
    return [old, new]


def _one_directly(accounts: DirectAccounts, port: int, name: str, floor: _Figures) -> None:
    """Do the same with commands to the broker alone."""
    old, new = Login(name, new_secret()), Login(name, new_secret())
    clock = _Clock(floor)
    accounts.make([old])
    made_ms = clock.note("floor_answered_p50")
    client = connected(port, old)
    clock.note("connect_p50", since_ms=made_ms)
    clock.note("issue")

    clock = _Clock(floor)
    accounts.send(make_account(name, new.password, tag="bench"))
    await_closed(client)
    clock.note("closed")
    accounts.await_answer()
    client = connected(port, new)
    clock.note("rotate")

    clock = _Clock(floor)
    accounts.send(end_account(name, tag="bench"))
    await_closed(client)
    clock.note("revoke")
    accounts.await_answer()


class _Clock:
    """Notes milliseconds since it was made."""

    def __init__(self, figures: _Figures) -> None:
        self._figures = figures
        self._began_s = time.perf_counter()

    def note(self, name: str, *, since_ms: float = 0.0) -> float:
        """Note and return them, less `since_ms`."""
        taken_ms = 1_000 * (time.perf_counter() - self._began_s) - since_ms
        self._figures.setdefault(name, []).append(taken_ms)
        return taken_ms


# --- Very many of one call ---------------------------------------------------------------------------


def _make_many_directly(installation: Installation, many: int) -> dict[str, float]:
    """Return, by call, the seconds until accounts like those of both calls were made and the last one logged in."""
    servers = installation.servers
    servers.begin_anew()
    taken = {}
    with DirectAccounts(servers.broker.url) as accounts:
        for call in CALLS:
            logins = [Login(name, new_secret()) for name in _names(call, many)]
            began_s = time.perf_counter()
            accounts.make(logins)
            client = connected(servers.broker.port, logins[-1])
            taken[call] = time.perf_counter() - began_s
            client.close()
    return taken


def _in_one_call(running: Running, many: int, direct: Mapping[str, float]) -> dict[str, Run]:
    """Make `many` sensors with credentials in one POST, then as many more."""
    port = running.installation.servers.broker.port
    web = Web(running)
    runs = {}
    for call in CALLS:
        before = cpu_seconds(running.pids())
        began_s = time.perf_counter()
        rows = {"sensors": [{"identifier": name} for name in _names(call, many)]}
        answer = web.post(f"networks/{NETWORK}/sensors/?credentials=true", rows)
        answered_s = time.perf_counter() - began_s
        logins = [Login(row["identifier"], row["credential"]["password"]) for row in answer["results"]]
        if len(logins) != many:
            raise RuntimeError(f"{many} sensors were asked for and {len(logins)} made")
        usable_s = _await_all(port, logins) - began_s
        used = cpu_between(before, cpu_seconds(running.pids()))
        runs[f"{call} answered"] = Run(answered_s)
        runs[f"{call} usable"] = Run(usable_s, direct[call], used)
    web.close()
    return runs


def _await_all(port: int, logins: Sequence[Login]) -> float:
    """Return the moment (`time.perf_counter`) at which the last of them could log in.

    The bridge brings them in their order, so the last one is waited for, and then every other tried, the later ones
    first: one that is refused even then is waited for as well and moves the moment.
    """
    # Beside ten thousand accounts each one takes the broker 35 ms.
    within_s = max(WITHIN_S, 0.5 * len(logins))
    connected_when_accepted(port, logins[-1], again_after_s=AGAIN_OF_MANY_S, within_s=within_s).close()
    usable_at = time.perf_counter()
    for login in reversed(logins[:-1]):
        try:
            connected(port, login).close()
        except RuntimeError:
            connected_when_accepted(port, login, again_after_s=AGAIN_OF_MANY_S).close()
            usable_at = time.perf_counter()
    return usable_at


def _names(call: str, many: int) -> list[str]:
    return [f"{call}-{number:06}" for number in range(many)]
