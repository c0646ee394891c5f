"""A stand-in for the VPC CNI dying with its node: an interface that nobody owns any more.

The real one attaches further interfaces to a node for the addresses of pods. When the node ends
between detaching and deleting one, it stays, available, and holds on to its subnet and groups.
"""

from ..ec2 import launch
from . import members
from .settings import SETTINGS, Fault


def leave_interface(ec2, instance):
    """Leave an interface behind if a fault of this kind strikes an instance that ends."""
    cluster = members.cluster_name_of(ec2, instance)
    if cluster is None or not any(fault.kind == "leaves-interface" for fault in SETTINGS.faults):
        return
    nic = instance.nics.get(0)
    if nic is None:
        return
    member = members.traits(ec2, instance)
    if not any(_strikes(fault, member) for fault in SETTINGS.faults):
        return
    ec2.create_network_interface(
        nic.subnet,
        nic.subnet.get_available_subnet_ip(instance=None),
        group_ids=[group.id for group in nic._group_set or []],
        description=f"aws-K8S-{instance.id}",
        tags={
            "node.k8s.amazonaws.com/instance_id": instance.id,
            "cluster.k8s.amazonaws.com/name": cluster,
            "eks:eni:owner": "amazon-vpc-cni",
        },
    )


def _strikes(fault: Fault, member):
    return fault.kind == "leaves-interface" and fault.strikes(member)


launch.BEFORE_GONE.append(leave_interface)
