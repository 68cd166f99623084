"""Every write of networks, gateways, sensors and their credentials, claims, invitations and tokens.

Each is one transaction.
"""

from sensors.services.claims import (
    approve_claim,
    create_claim_code,
    decide_claims,
    present_claim,
    refuse_claim,
    revoke_claim_code,
    sweep_claims,
)
from sensors.services.credentials import issue_credential, issue_credentials, revoke_credential
from sensors.services.invitations import (
    accept_invitation,
    create_invitation,
    find_invitation,
    forget_invitations,
    refuse_unless_open,
    revoke_invitation,
)
from sensors.services.networks import (
    create_network,
    delete_network,
    end_invitations,
    hand_over_network,
    remove_member,
    set_member,
    update_network,
)
from sensors.services.sensors import (
    create_gateway,
    create_sensor,
    delete_gateway,
    delete_sensor,
    update_gateway,
    update_sensor,
)
from sensors.services.tokens import create_token, end_token

__all__ = [
    "accept_invitation",
    "approve_claim",
    "create_claim_code",
    "create_gateway",
    "create_invitation",
    "create_network",
    "create_sensor",
    "create_token",
    "decide_claims",
    "delete_gateway",
    "delete_network",
    "delete_sensor",
    "end_invitations",
    "end_token",
    "find_invitation",
    "forget_invitations",
    "hand_over_network",
    "issue_credential",
    "issue_credentials",
    "present_claim",
    "refuse_claim",
    "refuse_unless_open",
    "remove_member",
    "revoke_claim_code",
    "revoke_credential",
    "revoke_invitation",
    "set_member",
    "sweep_claims",
    "update_gateway",
    "update_network",
    "update_sensor",
]
