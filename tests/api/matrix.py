"""Who may do what over HTTP: every operation of the OpenAPI document, what it needs, and how to try it."""

from dataclasses import dataclass, field
from typing import Any, Final

# What an operation needs, and what it answers to who has not got it.
OPEN: Final = "open"  # nothing
LOGIN: Final = "login"  # to be somebody; lists hold only what they may see
WHOLE: Final = "whole"  # a session, or a token with all of its user's rights: 403
STAFF: Final = "staff"  # 403
OWN: Final = "own"  # what is the caller's own: 404
VIEWER: Final = "viewer"  # a role in the network of what the path names: 404 without any, 403 with less
OPERATOR: Final = "operator"
OWNER: Final = "owner"
BROKER: Final = "broker"  # BROKER_AUTH_SECRET, which no user has: 401


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. done: what it answers to who may; names in braces in `body` are filled in.

    in_body: the network is named in the body, so that one that is not visible is a wrong value (400).
    """

    needs: str
    body: dict[str, Any] | None = None
    done: int = 200
    in_body: bool = False
    query: str = ""


_RULE = {"name": "Hot", "kind": "threshold", "attribute": "a", "above": 1, "sensors": ["{identifier}"]}
_TARGET_URL = "json://127.0.0.1:9/hook"
_CLAIM = {"claim_code": "wrong", "identifier": "made", "proof": "0123456789abcdef-matrix"}
_PAST = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}

OPERATIONS: Final[dict[str, Operation]] = {
    "POST auth/token/": Operation(OPEN, {"username": "{username}", "password": "wrong"}, 401),
    "POST auth/logout/": Operation(LOGIN, done=204),
    "GET me/": Operation(LOGIN),
    "GET stats/": Operation(LOGIN),
    "GET stats/networks/": Operation(LOGIN),
    "GET ingest/": Operation(STAFF),
    "GET tokens/": Operation(LOGIN),
    "POST tokens/": Operation(WHOLE, {"name": "x", "days": 1}, 201),
    "GET tokens/{handle}/": Operation(OWN),
    "DELETE tokens/{handle}/": Operation(OWN, done=204),
    "GET audit-log/": Operation(LOGIN),
    "GET audit-log/export/": Operation(LOGIN, query="?format=ndjson"),
    "GET networks/": Operation(LOGIN),
    "POST networks/": Operation(WHOLE, {"slug": "made", "name": "Made"}, 201),
    "GET networks/{slug}/": Operation(VIEWER),
    "PATCH networks/{slug}/": Operation(OPERATOR, {"name": "x"}),
    "DELETE networks/{slug}/": Operation(OWNER, done=204),
    "POST networks/{slug}/sensors/": Operation(OPERATOR, {"sensors": [{"identifier": "made"}]}),
    "GET networks/{slug}/members/": Operation(VIEWER),
    "POST networks/{slug}/members/": Operation(OWNER, {"user": "{stranger}", "role": "viewer"}, 201),
    "GET networks/{slug}/members/{username}/": Operation(VIEWER),
    "PATCH networks/{slug}/members/{username}/": Operation(OWNER, {"role": "operator"}),
    "DELETE networks/{slug}/members/{username}/": Operation(OWNER, done=204),
    "GET networks/{slug}/invitations/": Operation(OWNER),
    "POST networks/{slug}/invitations/": Operation(OWNER, {"role": "viewer"}, 201),
    "DELETE networks/{slug}/invitations/{invitation}/": Operation(OWNER, done=204),
    "POST networks/{slug}/hand-over/": Operation(OWNER, {"user": "{stranger}"}),
    "POST invitations/look/": Operation(LOGIN, {"token": "{token}"}),
    "POST invitations/accept/": Operation(WHOLE, {"token": "{token}"}),
    "POST claims/": Operation(OPEN, _CLAIM, 403),
    "GET claims/": Operation(LOGIN),
    "GET claims/{claim}/": Operation(VIEWER),
    "POST claims/{claim}/approve/": Operation(OPERATOR, {}),
    "POST claims/{claim}/refuse/": Operation(OPERATOR, {}),
    "POST claims/approve/": Operation(OPERATOR, {"claims": ["{claim}"]}),
    "POST claims/refuse/": Operation(OPERATOR, {"claims": ["{claim}"]}),
    "GET claim-codes/": Operation(LOGIN),
    "POST claim-codes/": Operation(OPERATOR, {"name": "made", "network": "{slug}"}, 201, in_body=True),
    "GET claim-codes/{claim_code}/": Operation(VIEWER),
    "DELETE claim-codes/{claim_code}/": Operation(OPERATOR, done=204),
    "GET gateways/": Operation(LOGIN),
    "POST gateways/": Operation(OPERATOR, {"identifier": "made", "network": "{slug}"}, 201, in_body=True),
    "GET gateways/{gateway}/": Operation(VIEWER),
    "PATCH gateways/{gateway}/": Operation(OPERATOR, {"name": "x"}),
    "DELETE gateways/{gateway}/": Operation(OPERATOR, done=204),
    "GET sensors/": Operation(LOGIN),
    "POST sensors/": Operation(OPERATOR, {"identifier": "made", "network": "{slug}"}, 201, in_body=True),
    "GET sensors/{identifier}/": Operation(VIEWER),
    "PATCH sensors/{identifier}/": Operation(OPERATOR, {"name": "x"}),
    "DELETE sensors/{identifier}/": Operation(OPERATOR, done=204),
    "GET sensors/{identifier}/credential/": Operation(VIEWER),
    "POST sensors/{identifier}/credential/": Operation(OPERATOR, done=201),
    "DELETE sensors/{identifier}/credential/": Operation(OPERATOR, done=204),
    "GET sensors/{identifier}/attributes/": Operation(VIEWER),
    "GET sensors/{identifier}/heartbeats/": Operation(VIEWER),
    "GET sensors/{identifier}/log-messages/": Operation(VIEWER),
    "GET sensors/{identifier}/log-messages/summary/": Operation(VIEWER),
    "GET sensors/{identifier}/measurements/": Operation(VIEWER),
    "GET sensors/{identifier}/measurements/latest/": Operation(VIEWER),
    "GET sensors/{identifier}/measurements/export/": Operation(VIEWER, query="?format=csv"),
    "GET sensors/{identifier}/series/": Operation(VIEWER, query="?attribute=a"),
    "GET sensors/{identifier}/configurations/": Operation(VIEWER),
    "POST sensors/{identifier}/configurations/": Operation(OPERATOR, {"configuration": {"a": 2}}, 201),
    "GET sensors/{identifier}/configurations/{revision}/": Operation(VIEWER),
    "GET sensors/{identifier}/configurations/{revision}/diff/": Operation(VIEWER),
    "POST sensors/{identifier}/configurations/{revision}/restore/": Operation(OPERATOR, {}, 201),
    "GET measurements/latest/": Operation(LOGIN),
    "GET log-messages/": Operation(LOGIN),
    "GET log-messages/summary/": Operation(LOGIN),
    "GET rejected-messages/": Operation(LOGIN),
    "GET rejected-messages/{number}/": Operation(VIEWER),
    # What is stored there is refused again.
    "POST rejected-messages/{number}/reingest/": Operation(OPERATOR, done=409),
    "GET alert-rules/": Operation(LOGIN),
    "POST alert-rules/": Operation(OPERATOR, _RULE, 201, in_body=True),
    "POST alert-rules/match/": Operation(OPERATOR, _RULE, in_body=True),
    "POST alert-rules/backtest/": Operation(OPERATOR, {**_RULE, **_PAST}, in_body=True),
    "GET alert-rules/{rule}/": Operation(VIEWER),
    "PATCH alert-rules/{rule}/": Operation(OPERATOR, {"name": "x"}),
    "DELETE alert-rules/{rule}/": Operation(OPERATOR, done=204),
    "GET alerts/": Operation(LOGIN),
    "GET alerts/{alert}/": Operation(VIEWER),
    "POST alerts/{alert}/acknowledge/": Operation(OPERATOR, {"comment": ""}),
    "POST alerts/{alert}/resolve/": Operation(OPERATOR),
    "GET silences/": Operation(LOGIN),
    "POST silences/": Operation(
        OPERATOR, {"matchers": {"sensor": "{identifier}"}, "ends_at": "2099-01-01T00:00:00Z"}, 201, in_body=True
    ),
    "GET silences/{silence}/": Operation(VIEWER),
    "PATCH silences/{silence}/": Operation(OPERATOR, {"comment": "x"}),
    "DELETE silences/{silence}/": Operation(OPERATOR, done=204),
    "GET notification-targets/": Operation(LOGIN),
    "POST notification-targets/": Operation(
        OPERATOR, {"name": "x", "network": "{slug}", "url": _TARGET_URL}, 201, in_body=True
    ),
    "GET notification-targets/{target}/": Operation(VIEWER),
    "PATCH notification-targets/{target}/": Operation(OPERATOR, {"name": "x"}),
    "DELETE notification-targets/{target}/": Operation(OPERATOR, done=204),
    "POST notification-targets/{target}/test/": Operation(OPERATOR),
    "GET notifications/": Operation(LOGIN),
    "GET notifications/{notification}/": Operation(VIEWER),
    "POST broker/emqx/authentication/": Operation(BROKER, {}),
    "POST broker/emqx/authorization/": Operation(BROKER, {}),
    "POST broker/vernemq/": Operation(BROKER, {}),
    "POST broker/mosquitto-go-auth/user/": Operation(BROKER, {}),
    "POST broker/mosquitto-go-auth/superuser/": Operation(BROKER, {}),
    "POST broker/mosquitto-go-auth/acl/": Operation(BROKER, {}),
}
# What the document calls `id` or `identifier` is one thing or another by where it stands.
_SUBJECTS: Final = {
    "alert-rules/{id}": "alert-rules/{rule}",
    "alerts/{id}": "alerts/{alert}",
    "silences/{id}": "silences/{silence}",
    "notification-targets/{id}": "notification-targets/{target}",
    "notifications/{id}": "notifications/{notification}",
    "claim-codes/{id}": "claim-codes/{claim_code}",
    "gateways/{identifier}": "gateways/{gateway}",
    "networks/{slug}/invitations/{number}": "networks/{slug}/invitations/{invitation}",
}
API: Final = "/api/v1/"


def operation_name(method: str, path: str) -> str:
    """Return the name in OPERATIONS of an operation of the document."""
    path = path.removeprefix(API)
    for theirs, ours in _SUBJECTS.items():
        if path.startswith(f"{theirs}/"):
            path = ours + path.removeprefix(theirs)
    return f"{method.upper()} {path}"


@dataclass(frozen=True, slots=True)
class Who:
    """One kind of caller. role: in the network of everything that is tried, None for none.

    scope: of the token, None for one that has all rights; bound: it knows one other network alone; own: the things
    of one's own (tokens) that are tried belong to this user.
    """

    role: str | None = None
    scope: str | None = None
    is_known: bool = True
    is_staff: bool = False
    bound: bool = False
    own: bool = False
    ranks: dict[str, int] = field(default_factory=lambda: {"viewer": 1, "operator": 2, "owner": 3})

    @property
    def is_whole(self) -> bool:
        """Whether the caller has all of the user's rights."""
        return self.scope is None and not self.bound

    @property
    def rank(self) -> int:
        """How much it may in that network, 0 for nothing."""
        if self.bound or self.role is None:
            return 0
        by_scope = {"read": 1, "operate": 2, None: 3}[self.scope]
        return min(self.ranks[self.role], by_scope)


CALLERS: Final[dict[str, Who]] = {
    "nobody": Who(is_known=False),
    "revoked_token": Who(is_known=False),
    "expired_token": Who(is_known=False),
    "inactive_user": Who(is_known=False),
    "other_owner": Who(),
    "viewer": Who("viewer"),
    "operator": Who("operator"),
    "owner": Who("owner", own=True),
    "staff": Who("owner", is_staff=True),
    "read_token": Who("owner", "read", own=True),
    "operate_token": Who("owner", "operate", own=True),
    "bound_token": Who("owner", bound=True, own=True),
    "staff_read_token": Who("owner", "read", is_staff=True),
    "staff_bound_token": Who("owner", bound=True, is_staff=True),
}


def expected(name: str, who: Who) -> int:
    """Return what the operation `name` of OPERATIONS answers to such a caller."""
    operation = OPERATIONS[name]
    needs = operation.needs
    if needs == OPEN:
        return operation.done
    if not who.is_known or needs == BROKER:
        return 401
    is_read = name.startswith("GET ")
    # Whatever it is: only ending itself is left to a token that reads.
    if who.scope == "read" and not is_read and name != "POST auth/logout/":
        return 403
    if needs == LOGIN:
        return operation.done
    if needs == WHOLE:
        return operation.done if who.is_whole else 403
    if needs == STAFF:
        return operation.done if who.is_staff and not who.bound else 403
    if needs == OWN:
        if not is_read and not who.is_whole:
            return 403
        return operation.done if who.own else 404
    if who.rank == 0:
        return 400 if operation.in_body else 404
    return operation.done if who.rank >= who.ranks[needs] else 403
