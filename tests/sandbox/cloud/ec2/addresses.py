"""Elastic IP addresses: not to be released while in use, nor taken from a service."""

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend

from .. import quotas
from ..mend import mend
from . import interfaces


@mend(EC2Backend, "allocate_address")
def allocate_address(original, self, *args, **kwargs):
    """Refused when the account has as many as it may have."""
    quotas.check_addresses(self)
    return original(self, *args, **kwargs)


def _find(ec2, address, allocation_id):
    if allocation_id:
        return ec2.address_by_allocation([allocation_id])[0]
    return ec2.address_by_ip([address])[0]


@mend(EC2Backend, "release_address")
def release_address(original, self, address=None, allocation_id=None):
    """Refused while it is associated; moto takes it away."""
    found = _find(self, address, allocation_id)
    if found.association_id or found.eni:
        raise EC2ClientError("InvalidIPAddress.InUse", f"Address {found.public_ip} is in use.")
    tags_of = found.allocation_id
    original(self, address=address, allocation_id=allocation_id)
    self.tags.pop(tags_of, None)


@mend(EC2Backend, "disassociate_address")
def disassociate_address(original, self, address=None, association_id=None):
    """What a service has associated, a user cannot take away."""
    if association_id:
        found = self.address_by_association([association_id])[0]
    else:
        found = self.address_by_ip([address])[0]
    if found.eni is not None and interfaces.of_service(found.eni):
        raise EC2ClientError(
            "AuthFailure", "You do not have permission to access the specified resource."
        )
    return original(self, address=address, association_id=association_id)
