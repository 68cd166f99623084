"""Invitations and handing over, over HTTP and by command."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from sensors import services, tasks
from sensors.errors import Conflict
from sensors.limits import attempts
from sensors.models import AuditEntry, Invitation, Membership, Role, User
from tests.api.callers import Caller, listed, make_network, make_user
from tests.together import at_once
from tests.waiting import wait_until


@pytest.fixture
def path(world):
    return f"networks/{world.network.slug}/invitations/"


def role_of(network, user):
    return Membership.objects.filter(network=network, user=user).values_list("role", flat=True).first()


@pytest.mark.django_db
class TestInvitations:
    def test_one_is_made_shown_once_and_listed_without_its_secret(self, world, path):
        answer = world.owner.post(path, {"role": "operator"})
        assert answer.status_code == 201
        made = answer.json()
        assert made["url"].endswith(f"/invitations/{made['token']}/")
        assert made["mailed"] is False
        (shown,) = listed(world.owner, path)
        assert shown == {key: made[key] for key in made.keys() - {"url", "token", "mailed"}}
        assert (shown["state"], shown["role"], shown["created_by"]) == ("open", "operator", world.owner.user.username)
        left = parse_datetime(shown["expires_at"]) - timezone.now()
        assert timedelta(days=6) < left <= timedelta(days=7)
        stored = str(Invitation.objects.values().get()) + str(list(AuditEntry.objects.values("changes", "object_repr")))
        assert made["token"] not in stored
        assert Invitation.objects.get().digest not in str(list(AuditEntry.objects.values("changes")))

    def test_the_link_leads_to_the_public_address(self, world, path, settings):
        settings.PUBLIC_URL = "https://fleet.example.org"
        made = world.owner.post(path, {"role": "viewer"}).json()
        assert made["url"] == f"https://fleet.example.org/invitations/{made['token']}/"

    def test_it_is_sent_where_there_is_mail(self, world, path, settings):
        made = world.owner.post(path, {"role": "viewer", "email": "grace@example.org"}).json()
        assert made["mailed"] is True
        wait_until(lambda: mail.outbox, 10, "mail")
        (message,) = mail.outbox
        assert (message.to, made["url"] in message.body) == (["grace@example.org"], True)
        assert world.network.name in message.subject
        settings.MAIL_IS_CONFIGURED = False
        assert world.owner.post(path, {"role": "viewer", "email": "x@example.org"}).json()["mailed"] is False

    def test_nobody_advertises_by_mail_of_the_service(self, world, path, monkeypatch):
        monkeypatch.setattr(attempts, "MAX_MAILED_AN_HOUR", 2)
        body = {"role": "viewer", "email": "x@example.org"}
        assert [world.owner.post(path, body).status_code for _ in range(2)] == [201, 201]
        refused = world.owner.post(path, body)
        assert (refused.status_code, "without an e-mail address" in refused.json()["detail"]) == (429, True)
        assert int(refused["Retry-After"]) > 0
        assert world.owner.post(path, {"role": "viewer"}).status_code == 201

    def test_a_network_that_is_deleted_gives_no_mail_back(self, world, monkeypatch, unique):
        monkeypatch.setattr(attempts, "MAX_MAILED_AN_HOUR", 2)
        answers = []
        for number in range(3):
            slug = f"advertising-{number}-{unique}"
            world.owner.post("networks/", {"slug": slug})
            body = {"role": "viewer", "email": "x@example.org"}
            answers.append(world.owner.post(f"networks/{slug}/invitations/", body).status_code)
            assert world.owner.delete(f"networks/{slug}/").status_code == 204
        assert answers == [201, 201, 429]

    def test_a_list_costs_the_same_for_many(self, world, path, django_assert_num_queries):
        services.set_member(world.network, user=world.operator.user, role=Role.OWNER)
        for number in range(6):
            author = (world.owner, world.operator)[number % 2].user
            services.create_invitation(world.network, role="viewer", author=author, now=timezone.now())
        # The token, the network, the role, the invitations with who made them, the owners.
        with django_assert_num_queries(5):
            assert len(listed(world.owner, path)) == 6

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "role"),
            ({"role": "king"}, "role"),
            ({"role": "viewer", "days": 0}, "days"),
            ({"role": "viewer", "days": 91}, "days"),
            ({"role": "viewer", "email": "nobody"}, "email"),
            ({"role": "viewer", "token": "mine"}, "token"),
        ],
    )
    def test_what_is_wrong_is_named(self, world, path, body, field):
        answer = world.owner.post(path, body)
        assert (answer.status_code, set(answer.json())) == (400, {field})

    def test_one_is_withdrawn_and_stays_listed(self, world, path):
        made = world.owner.post(path, {"role": "viewer"}).json()
        assert world.owner.delete(f"{path}{made['id']}/").status_code == 204
        assert world.owner.delete(f"{path}{made['id']}/").status_code == 204
        assert listed(world.owner, path)[0]["state"] == "revoked"
        answer = world.stranger.post("invitations/accept/", {"token": made["token"]})
        assert (answer.status_code, "withdrawn" in answer.json()["detail"]) == (409, True)

    def test_one_of_another_network_is_not_there(self, world, path):
        elsewhere, _ = make_network("elsewhere")
        other, _ = services.create_invitation(elsewhere, role="viewer", author=None, now=timezone.now())
        assert world.owner.delete(f"{path}{other.pk}/").status_code == 404

    def test_programs_look_and_accept_once(self, world, path):
        made = world.owner.post(path, {"role": "operator"}).json()
        token = {"token": made["token"]}
        assert world.stranger.post("invitations/look/", token).json() == {
            "network": world.network.slug,
            "name": world.network.name,
            "role": "operator",
            "invited_by": world.owner.user.username,
            "state": "open",
            "expires_at": made["expires_at"],
        }
        answer = world.stranger.post("invitations/accept/", token)
        assert answer.json() == {"network": world.network.slug, "role": "operator", "used": True}
        assert role_of(world.network, world.stranger.user) == "operator"
        late = Caller(make_user("late")).post("invitations/accept/", token)
        assert (late.status_code, "used already" in late.json()["detail"]) == (409, True)
        shown = listed(world.owner, path)[0]
        assert (shown["state"], shown["accepted_by"]) == ("accepted", world.stranger.user.username)
        assert world.owner.delete(f"{path}{made['id']}/").status_code == 409

    def test_who_has_as_much_leaves_it_to_others(self, world, path):
        token = {"token": world.owner.post(path, {"role": "viewer"}).json()["token"]}
        for caller, role in ((world.owner, "owner"), (world.operator, "operator"), (world.viewer, "viewer")):
            assert caller.post("invitations/accept/", token).json()["role"] == role
        assert world.stranger.post("invitations/accept/", token).json()["used"] is True

    def test_one_ends_with_the_rights_of_who_made_it(self, world, path):
        made = world.owner.post(path, {"role": "owner"}).json()
        boss = make_user("boss")
        services.set_member(world.network, user=boss, role=Role.OWNER)
        services.remove_member(world.network, user=world.owner.user)
        assert world.owner.post("invitations/accept/", {"token": made["token"]}).status_code == 409
        assert listed(Caller(boss), path)[0]["state"] == "revoked"

    @pytest.mark.parametrize("end", ["demoted", "removed", "handed over"])
    def test_one_that_ended_with_the_ownership_stays_ended_when_its_maker_owns_again(self, world, path, end):
        maker, heir = world.owner.user, make_user("heir")
        tokens = [world.owner.post(path, {"role": "owner"}).json()["token"]]
        tokens.append(world.staff.post(path, {"role": "owner"}).json()["token"])
        services.set_member(world.network, user=heir, role=Role.OWNER)
        if end == "demoted":
            services.set_member(world.network, user=maker, role=Role.OPERATOR)
        elif end == "removed":
            services.remove_member(world.network, user=maker)
        else:
            services.hand_over_network(world.network, from_user=maker, to_user=heir)
        services.set_member(world.network, user=maker, role=Role.OWNER)
        # Those of staff go on: they own nothing that could end.
        assert [row["state"] for row in listed(world.owner, path)] == ["open", "revoked"]
        answers = [world.stranger.post("invitations/accept/", {"token": token}) for token in tokens]
        assert [answer.status_code for answer in answers] == [409, 200]

    def test_one_lets_nobody_in_while_its_maker_is_deactivated(self, world, path):
        token = {"token": world.owner.post(path, {"role": "viewer"}).json()["token"]}
        User.objects.filter(pk=world.owner.user.pk).update(is_active=False)
        assert world.stranger.post("invitations/accept/", token).status_code == 409
        User.objects.filter(pk=world.owner.user.pk).update(is_active=True)
        assert world.stranger.post("invitations/accept/", token).status_code == 200

    @pytest.mark.parametrize("token", ["nothing", "x" * 32, "a\x00b", ""])
    def test_one_that_never_was_is_404_or_named(self, world, token):
        for what in ("look", "accept"):
            assert world.stranger.post(f"invitations/{what}/", {"token": token}).status_code in (400, 404)

    def test_an_expired_one_lets_nobody_in(self, world, path):
        made = world.owner.post(path, {"role": "viewer"}).json()
        Invitation.objects.update(expires_at=timezone.now())
        answer = world.stranger.post("invitations/accept/", {"token": made["token"]})
        assert (answer.status_code, "expired" in answer.json()["detail"]) == (409, True)
        assert world.stranger.post("invitations/look/", {"token": made["token"]}).json()["state"] == "expired"

    def test_what_is_long_over_is_forgotten_with_its_address(self, world, path):
        now = timezone.now()
        long_ago, lately = now - timedelta(days=31), now - timedelta(days=29)
        ends = {"accepted_at": long_ago}, {"revoked_at": long_ago}, {"expires_at": long_ago}
        kept = {"accepted_at": lately}, {"revoked_at": lately}, {"expires_at": lately}, {}
        for number, change in enumerate((*ends, *kept)):
            body = {"role": "viewer", "email": f"stranger-{number}@example.org"}
            made = world.owner.post(path, body).json()
            Invitation.objects.filter(pk=made["id"]).update(**change)
        tasks.sweep()
        addresses = {row["email"] for row in listed(world.owner, path)}
        assert addresses == {f"stranger-{number}@example.org" for number in range(3, 7)}
        history = json.dumps(list(AuditEntry.objects.values()), default=str)
        assert "viewer of" in history
        assert "stranger" not in history


@pytest.mark.django_db(transaction=True)
def test_of_two_who_accept_at_once_one_does():
    network, _ = make_network("plant")
    users = [make_user("one"), make_user("two"), make_user("three")]
    _, secret = services.create_invitation(network, role="viewer", author=None, now=timezone.now())
    now = timezone.now()
    ends = at_once(
        *[lambda user=user: services.accept_invitation(secret, user=user, now=now)[1] for user in users],
        expected=Conflict,
    )
    assert [end for end in ends if not isinstance(end, Conflict)] == [True]
    assert Membership.objects.filter(network=network).count() == 1


@pytest.mark.django_db
class TestHandOver:
    def hand_over(self, caller, world, user):
        return caller.post(f"networks/{world.network.slug}/hand-over/", {"user": user.username})

    @pytest.mark.parametrize("before", [None, "viewer", "operator", "owner"])
    def test_the_other_becomes_owner_and_the_giver_operator(self, world, before):
        other = make_user("heir")
        if before:
            services.set_member(world.network, user=other, role=before)
        answer = self.hand_over(world.owner, world, other)
        assert [(member["user"], member["role"]) for member in answer.json()] == [
            (other.username, "owner"),
            (world.owner.user.username, "operator"),
        ]
        assert (role_of(world.network, other), role_of(world.network, world.owner.user)) == ("owner", "operator")
        assert self.hand_over(world.owner, world, other).status_code == 403

    def test_staff_who_own_nothing_stay_as_they_are(self, world):
        other = make_user("heir")
        (taken,) = self.hand_over(world.staff, world, other).json()
        assert (taken["user"], taken["role"]) == (other.username, "owner")
        assert role_of(world.network, world.staff.user) is None
        assert role_of(world.network, world.owner.user) == "owner"

    def test_it_goes_to_somebody_else_who_is_there(self, world):
        to_self = self.hand_over(world.owner, world, world.owner.user)
        gone = make_user("gone", is_active=False)
        unknown = world.owner.post(f"networks/{world.network.slug}/hand-over/", {"user": "nobody-here"})
        for answer in (to_self, self.hand_over(world.owner, world, gone), unknown):
            assert (answer.status_code, set(answer.json())) == (400, {"user"})
        assert role_of(world.network, world.owner.user) == "owner"

    def test_the_last_owner_still_does_not_leave(self, world):
        name = world.owner.user.username
        assert world.owner.delete(f"networks/{world.network.slug}/members/{name}/").status_code == 409


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_hand_over_to_each_other_leave_an_owner():
    network, users = make_network("plant", one=Role.OWNER, two=Role.OWNER)
    one, two = users["one"], users["two"]
    at_once(
        lambda: services.hand_over_network(network, from_user=one, to_user=two),
        lambda: services.hand_over_network(network, from_user=two, to_user=one),
    )
    assert sorted(Membership.objects.filter(network=network).values_list("role", flat=True)) == ["operator", "owner"]


@pytest.mark.django_db
class TestCommand:
    """`manage.py invite`."""

    def run(self, *arguments, **streams):
        out = StringIO()
        call_command("invite", *arguments, stdout=out, **streams)
        return out.getvalue().strip()

    def test_a_link_that_leads_nowhere_is_not_sent(self, world, settings):
        settings.PUBLIC_URL = ""
        with pytest.raises(CommandError, match="PUBLIC_URL"):
            self.run(world.network.slug, "--email", "grace@example.org")
        assert not Invitation.objects.exists()

    @pytest.mark.parametrize("is_configured", [False, True])
    def test_it_says_where_nothing_is_mailed(self, world, settings, is_configured):
        settings.PUBLIC_URL = "https://fleet.example.org"
        settings.MAIL_IS_CONFIGURED = is_configured
        said = StringIO()
        link = self.run(world.network.slug, "--email", "grace@example.org", stderr=said)
        assert link.startswith("https://fleet.example.org/invitations/")
        assert ("Nothing was mailed: there is no mail server" in said.getvalue()) is not is_configured
        wait_until(lambda: len(mail.outbox) == is_configured, 10, "the mail")

    def test_it_prints_a_link_that_works(self, world, settings):
        settings.PUBLIC_URL = "https://fleet.example.org"
        link = self.run(world.network.slug, "--role", "operator")
        assert link.startswith("https://fleet.example.org/invitations/")
        world.stranger.post("invitations/accept/", {"token": link.split("/")[-2]})
        assert role_of(world.network, world.stranger.user) == "operator"

    def test_it_prints_json(self, world):
        body = json.loads(self.run(world.network.slug, "--days", "1", "--json"))
        assert set(body) == {"url", "token", "role", "expires_at", "mailed"}
        assert body["url"] == f"/invitations/{body['token']}/"

    @pytest.mark.parametrize("options", [["--days", "0"], ["--email", "nobody"]])
    def test_it_refuses_what_makes_no_sense(self, world, options):
        with pytest.raises(CommandError):
            self.run(world.network.slug, *options)
        assert not Invitation.objects.exists()

    def test_it_refuses_networks_that_are_not_there(self, db):
        with pytest.raises(CommandError, match="no network"):
            self.run("nothing")
