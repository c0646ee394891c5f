"""Network interfaces that services own: of NAT gateways, control planes, databases, endpoints.

They are requester-managed, attached, and not to be detached or deleted by the user; they hold on to
their subnet and security groups until the service lets go of them.
"""

import random

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.elastic_network_interfaces import NetworkInterface

from ..mend import mend


def create(ec2, subnet, description, owner, groups=(), kind="interface", tags=None):
    """An interface in `subnet` (moto's object) that belongs to the thing called `owner`."""
    address = subnet.get_available_subnet_ip(instance=None)
    eni = ec2.create_network_interface(
        subnet, address, group_ids=list(groups), description=description, tags=tags or {}
    )
    if not groups:
        eni._group_set = []
    eni.owner = owner
    eni.requester_managed = True
    eni.requester_id = "amazon-elb" if kind == "network_load_balancer" else "amazon-aws"
    eni.interface_type = kind
    eni.status = "in-use"
    eni.service_attachment = f"ela-attach-{random.getrandbits(68):017x}"
    return eni


def remove(ec2, eni):
    """The service lets go of an interface."""
    if ec2.enis.pop(eni.id, None) is not None:
        eni.subnet.del_subnet_ip(eni.private_ip_address)
        for address in ec2.addresses:
            if address.eni is eni:
                address.eni = None
                address.association_id = None
        ec2.tags.pop(eni.id, None)


def of_service(eni):
    """Whether an interface belongs to a service."""
    return getattr(eni, "service_attachment", None) is not None


_moto_attachment = NetworkInterface.attachment.fget


def _attachment(self):
    if of_service(self):
        return {
            "AttachmentId": self.service_attachment,
            "DeleteOnTermination": False,
            "DeviceIndex": 1,
            "InstanceOwnerId": self.requester_id,
            "Status": "attached",
        }
    return _moto_attachment(self)


NetworkInterface.attachment = property(_attachment)

_moto_association = NetworkInterface.association.fget
# Without a public address there is no association, where moto shows an empty one.
NetworkInterface.association = property(
    lambda self: _moto_association(self) if self.public_ip else None
)


@mend(EC2Backend, "delete_network_interface")
def delete_network_interface(original, self, eni_id):
    """Refused while the interface is attached."""
    eni = self.enis.get(eni_id)
    if eni is not None and (eni.attachment_id or of_service(eni)):
        raise EC2ClientError(
            "InvalidParameterValue", f"Network interface '{eni_id}' is currently in use."
        )
    original(self, eni_id)
    eni.subnet.del_subnet_ip(eni.private_ip_address)
    self.tags.pop(eni_id, None)


@mend(EC2Backend, "detach_network_interface")
def detach_network_interface(original, self, attachment_id):
    """A user cannot detach what a service attached."""
    if attachment_id.startswith("ela-attach-"):
        raise EC2ClientError(
            "OperationNotPermitted", "You are not allowed to manage 'ela-attach' attachments."
        )
    return original(self, attachment_id)
