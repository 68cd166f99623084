"""What devices that ask for a place send and get, and how their claims look to people."""

from typing import Final

from rest_framework import serializers

from sensors.api.serializers import IdentifierField, LabelsField, StrictSerializer, TextField
from sensors.models import ClaimState

PROOF_CHARACTERS: Final = 22
# What random bytes in any usual form have far more of, and what a forgotten example has not.
PROOF_DIFFERENT: Final = 8
# A few seconds of work.
MAX_AT_ONCE: Final = 500


class PresentedClaimSerializer(StrictSerializer):
    """What a device sends, the same each time."""

    claim_code = TextField(max_length=100, help_text="However it is typed: small letters, without hyphens.")
    identifier = IdentifierField(max_length=64, help_text="What the sensor is to be called.")
    proof = TextField(
        min_length=PROOF_CHARACTERS,
        max_length=200,
        trim_whitespace=False,
        help_text="A random text that the device makes once and keeps; by it the device is known when it asks again.",
    )
    name = TextField(max_length=200, required=False, allow_blank=True)
    labels = LabelsField(required=False)

    def validate_proof(self, proof: str) -> str:
        """Return it; ValidationError for what anybody would guess."""
        if len(set(proof)) < PROOF_DIFFERENT:
            raise serializers.ValidationError(
                "This can be guessed; make it of random bytes, as hexadecimal or base 64."
            )
        return proof


class ClaimWaitsSerializer(serializers.Serializer):
    """Nobody has decided yet."""

    state = serializers.ChoiceField(choices=["waiting"])
    retry_after_s = serializers.IntegerField(help_text="Ask again after so many seconds, also as `Retry-After`.")


class BrokerAddressSerializer(serializers.Serializer):
    """Where the sensor connects."""

    host = serializers.CharField()
    port = serializers.IntegerField()
    tls = serializers.BooleanField()


class AdmittedSerializer(serializers.Serializer):
    """The sensor's login at the broker."""

    state = serializers.ChoiceField(choices=["collected"])
    username = serializers.CharField(help_text="The sensor's identifier.")
    client_id = serializers.CharField(help_text="The only one that it may connect with.")
    password = serializers.CharField(help_text="To be kept by the device; it is not given out for long.")
    mqtt = BrokerAddressSerializer()


class ClaimSerializer(serializers.Serializer):
    """One device that asked."""

    id = serializers.IntegerField()
    network = serializers.CharField(help_text="Slug.")
    code = serializers.CharField(help_text="The name of the code by which it asked.")
    identifier = serializers.CharField()
    name = serializers.CharField(allow_blank=True)
    labels = LabelsField()
    address = serializers.CharField(allow_blank=True, help_text="From where it asked last.")
    state = serializers.ChoiceField(choices=ClaimState.choices)
    first_asked_at = serializers.DateTimeField()
    last_asked_at = serializers.DateTimeField(help_text="To ten seconds.")
    decided_by = serializers.CharField(allow_null=True)
    decided_at = serializers.DateTimeField(allow_null=True)
    is_known = serializers.BooleanField(
        help_text="It waits, and a sensor of the network has this identifier: admitting it needs `replace`."
    )
    rivals = serializers.IntegerField(help_text="How many others in the network wait for the same identifier.")


class ApprovalSerializer(StrictSerializer):
    """How a device is admitted; everything may be left out."""

    replace = serializers.BooleanField(
        default=False,
        help_text="Where the network has a sensor of this identifier: the device becomes it, and gets a new login.",
    )
    name = TextField(max_length=200, required=False, allow_blank=True, help_text="In the place of what it said.")
    gateway = IdentifierField(max_length=64, required=False, allow_null=True, help_text="Of the same network.")
    labels = LabelsField(required=False)


class ChosenClaimsSerializer(StrictSerializer):
    """Claims to be decided."""

    claims = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1),
        allow_empty=False,
        max_length=MAX_AT_ONCE,
        help_text="Their ids.",
    )


class ChosenApprovalsSerializer(ChosenClaimsSerializer):
    """Claims to be approved."""

    replace = serializers.BooleanField(default=False, help_text="As for one.")


class DecidedSerializer(serializers.Serializer):
    """What became of one."""

    id = serializers.IntegerField()
    identifier = serializers.CharField()
    state = serializers.ChoiceField(choices=ClaimState.choices, allow_null=True)
    error = serializers.CharField(allow_null=True, help_text="Why it was not done.")


class DecisionsSerializer(serializers.Serializer):
    """What became of all of them, in their order."""

    decided = serializers.IntegerField()
    failed = serializers.IntegerField()
    results = DecidedSerializer(many=True)
