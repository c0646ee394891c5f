"""What EKS asks of the network it is given."""

import ipaddress

from .errors import bad_parameter
from ..wire import ServiceError

_ZONES_WITHOUT_EKS = ("use1-az3", "usw1-az2", "cac1-az3")


def ec2_of(backend):
    """moto's EC2 of the same account and region."""
    from moto.ec2.models import ec2_backends

    return ec2_backends[backend.account_id][backend.region_name]


def find_subnets(ec2, subnet_ids):
    """moto's subnets with these ids, or the error of EKS for a missing one."""
    known = {name: subnet for zone in ec2.subnets.values() for name, subnet in zone.items()}
    for subnet_id in subnet_ids:
        if subnet_id not in known:
            raise bad_parameter(
                f"The subnet ID '{subnet_id}' does not exist (Service: AmazonEC2; Status Code: 400; "
                "Error Code: InvalidSubnetID.NotFound)"
            )
    return [known[subnet_id] for subnet_id in subnet_ids]


def check_cluster_subnets(ec2, subnet_ids, cluster_name):
    """Subnets of one VPC in at least two zones that EKS can use. Returns the VPC's id."""
    subnets = find_subnets(ec2, subnet_ids)
    if len({subnet.vpc_id for subnet in subnets}) > 1:
        raise bad_parameter("Subnets specified must belong to the same VPC")
    for subnet in subnets:
        if subnet._availability_zone.zone_id in _ZONES_WITHOUT_EKS:
            raise ServiceError(
                "UnsupportedAvailabilityZoneException",
                f"Cannot create cluster '{cluster_name}' because {subnet.availability_zone}, the "
                "targeted availability zone, does not currently have sufficient capacity to support "
                "the cluster. Retry and choose from other availability zones.",
                400,
                {"clusterName": cluster_name},
            )
    if len({subnet.availability_zone for subnet in subnets}) < 2:
        raise bad_parameter("Subnets specified must be in at least two different AZs")
    return subnets[0].vpc_id


def check_security_groups(ec2, group_ids, vpc_id):
    """At most five security groups, all of this VPC."""
    if len(group_ids) > 5:
        raise bad_parameter("At most 5 security groups can be given")
    for group_id in group_ids:
        group = ec2.get_security_group_from_id(group_id)
        if group is None:
            raise bad_parameter(
                f"The security group '{group_id}' does not exist (Service: AmazonEC2; Status Code: "
                "400; Error Code: InvalidGroup.NotFound)"
            )
        if group.vpc_id != vpc_id:
            raise bad_parameter(
                f"Security group(s) [{group_id}] are not in the same VPC as the subnets. "
                "Please specify a security group that is associated with the VPC: " + vpc_id
            )


def default_service_cidr(vpc):
    """The range for services that does not clash with the VPC."""
    ours = ipaddress.ip_network(vpc.cidr_block)
    if ours.overlaps(ipaddress.ip_network("10.100.0.0/16")) or str(ours).startswith("10."):
        return "172.20.0.0/16"
    return "10.100.0.0/16"
