"""A fleet in which every text that comes from outside tries to be markup, a script, a link or a template."""

import secrets
from typing import Any, Final

from django.contrib.auth.models import Group
from django.utils import timezone

from sensors import services
from sensors.models import Network, Role, User
from tests.api.callers import Caller
from tests.browser.making import make_alert
from tests.browser.pages import answer, deliver, log, measure

# Each breaks out of another place: text, an attribute in either quotes, a script, a link, templates of three kinds.
TEXTS: Final = (
    "<img src=x onerror=alert(1)>",
    '"><script>alert(2)</script>',
    "'><svg onload=alert(3)>",
    "javascript:alert(4)",
    "</script><script>alert(5)</script>",
    "{{ 7*7 }}{% debug %}${alert(6)}",
)
ALL: Final = " ".join(TEXTS)
# What an e-mail address may be; it has no spaces.
ADDRESS: Final = '"<svg/onload=alert(7)>"@example.org'


class HostileFleet:
    """One of everything, made through the API and by what sensors send, and a superuser who looks at it."""

    def __init__(self, name: str) -> None:
        # The admin and the API refuse such a name; LDAP, single sign-on or a shell might not.
        self.user = User.objects.create_superuser(f"{name} {TEXTS[0]}{TEXTS[1]}", first_name=ALL[:150])
        self.slug, self.identifier, self.gateway = f"net-{name}", f"s-{name}", f"g-{name}"
        self.caller = Caller(self.user)
        self._make_things()
        self._send()
        self.alert = self._raise_alert()

    @property
    def names(self) -> dict[str, Any]:
        return {"identifier": self.identifier, "alert": self.alert}

    def _post(self, path: str, **body: Any) -> Any:
        made = self.caller.post(path, body)
        assert made.status_code in (200, 201), (path, made.content)
        return made.json()

    def _make_things(self) -> None:
        self._post("networks/", slug=self.slug, name=ALL)
        self._post("gateways/", identifier=self.gateway, network=self.slug, name=ALL)
        self._post(
            "sensors/",
            identifier=self.identifier,
            network=self.slug,
            gateway=self.gateway,
            name=ALL,
            labels={"floor": TEXTS[0], "kind": TEXTS[3]},
        )
        for number in range(2):
            values = {TEXTS[0]: TEXTS[1], "key": ALL, "number": number}
            self._post(f"sensors/{self.identifier}/configurations/", configuration=values, comment=ALL)
        self.rule = self._post(
            "alert-rules/", name=ALL, kind="threshold", attribute=TEXTS[0], above=1, sensors=[self.identifier]
        )["id"]
        matchers = {"sensor": self.identifier}
        self._post("silences/", matchers=matchers, ends_at="2099-01-01T00:00:00Z", comment=ALL)
        self._post("tokens/", name=ALL[:100], days=1)
        code = self._post("claim-codes/", network=self.slug, name=ALL[:100])["code"]
        asked = {"claim_code": code, "identifier": f"new-{self.slug}", "proof": secrets.token_urlsafe(24)}
        assert Caller().post("claims/", asked | {"name": ALL, "labels": {TEXTS[0]: TEXTS[1]}}).status_code == 202
        self.invitation = self._post(f"networks/{self.slug}/invitations/", role="viewer", email=ADDRESS)["url"]
        self._post("notification-targets/", name=ALL, network=self.slug, url="json://1.1.1.1/hook")
        Group.objects.create(name=f"{self.slug} {ALL}"[:150])
        member = User.objects.create_user(f"member-{self.slug} {TEXTS[0]}")
        services.set_member(self.network, user=member, role=Role.VIEWER)

    @property
    def network(self) -> Any:
        return Network.objects.get(slug=self.slug)

    def _send(self) -> None:
        for ago_s in (120, 60, 1):
            value = {text: float(ago_s) for text in TEXTS[:3]} | {TEXTS[3]: ALL, "ok": True}
            measure(self.identifier, ago_s=ago_s, **value)
        log(self.identifier, ALL, severity="error", details=ALL)
        answer(self.identifier, 1, success=False)
        deliver(f"measurements/{self.identifier}", measurements=[{"value": ALL, ALL: ALL}])
        deliver(f"measurements/{ALL}", measurements=ALL)

    def _raise_alert(self) -> int:
        alert = make_alert(
            self.network.rules.get(), about=self.network.sensors.get(), value=51.5, detail=ALL, rule_name=ALL
        )
        self._post(f"alerts/{alert.pk}/acknowledge/", comment=ALL)
        now = timezone.now()
        for target in self.network.notification_targets.all():
            alert.notifications.create(target=target, event="escalation", due_at=now, created_at=now, last_error=ALL)
        return int(alert.pk)
