"""Mail leaves in the background, and a mail server that hangs fills no memory."""

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail as django_mail
from django.core.mail.backends.base import BaseEmailBackend

from sensors import mail
from tests.waiting import wait_until

answers = threading.Event()


class HangingBackend(BaseEmailBackend):
    """A mail server that answers nobody until `answers` is set."""

    def send_messages(self, email_messages: Any) -> int:
        answers.wait(60)
        django_mail.outbox.extend(email_messages)
        return len(email_messages)


@pytest.fixture
def _hangs(settings: Any) -> Iterator[None]:
    # What an earlier test left would take a place.
    mail._sender.submit(lambda: None).result()
    settings.EMAIL_BACKEND = f"{__name__}.HangingBackend"
    answers.clear()
    yield
    answers.set()


@pytest.mark.usefixtures("_hangs")
def test_what_a_hanging_server_keeps_waiting_is_bounded_and_leaves_when_it_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        for number in range(mail.MOST_WAITING + 3):
            mail.send_text(f"{number}@example.org", subject="Hello", text="secret text")
    assert [record.getMessage() for record in caplog.records] == [
        "mail 'Hello' was not sent: 100 wait for the mail server"
    ] * 3
    answers.set()
    wait_until(lambda: len(django_mail.outbox) == mail.MOST_WAITING, 10, "the mails")
    assert [message.to for message in django_mail.outbox] == [
        [f"{number}@example.org"] for number in range(mail.MOST_WAITING)
    ]
    mail.send_text("again@example.org", subject="Hello", text="")
    wait_until(lambda: django_mail.outbox[-1].to == ["again@example.org"], 10, "one more")


def test_a_line_break_in_a_subject_costs_no_mail() -> None:
    mail.send_text("ada@example.org", subject="Invitation to Plant\nBcc: all@example.org", text="")
    wait_until(lambda: len(django_mail.outbox) == 1, 10, "the mail")
    assert django_mail.outbox[0].subject == "Invitation to Plant Bcc: all@example.org"
    assert django_mail.outbox[0].recipients() == ["ada@example.org"]
