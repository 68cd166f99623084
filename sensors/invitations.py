"""How an invitation reaches whom it is for: its link, and the mail with it."""

from sensors import mail
from sensors.models import Invitation


def invitation_path(secret: str) -> str:
    """Return the path of the page that opens an invitation."""
    return f"/invitations/{secret}/"


def mail_invitation(invitation: Invitation, url: str) -> bool:
    """Send the link to the invitation's address; return whether it is on its way."""
    if not invitation.email or not mail.is_configured():
        return False
    author = invitation.created_by
    who = author.get_full_name() or author.get_username() if author else "An administrator"
    text = (
        f"{who} invites you to the network {invitation.network.name} of Fleet, as {invitation.role}.\n\n"
        f"{url}\n\n"
        f"The link works once, until {invitation.expires_at:%d %B %Y, %H:%M} UTC. If you do not know what this is"
        " about, do nothing.\n"
    )
    mail.send_text(invitation.email, subject=f"Invitation to {invitation.network.name}", text=text)
    return True
