"""DB subnet groups: two zones at least, not overwritten, not deleted while in use, kept when changed."""

from moto.rds.exceptions import DBSubnetGroupNotFoundError, RDSClientError
from moto.rds.models import DBSubnetGroup, RDSBackend

from ..mend import mend


def _check(subnets):
    zones = sorted({subnet.availability_zone for subnet in subnets})
    if len(zones) < 2:
        raise RDSClientError(
            "DBSubnetGroupDoesNotCoverEnoughAZs",
            "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. Current "
            f"AZ coverage: {', '.join(zones)}. Add subnets to cover at least 2 AZs.",
        )
    if len({subnet.vpc_id for subnet in subnets}) > 1:
        raise RDSClientError("InvalidSubnet", "The specified subnets are in different VPCs.")


@mend(RDSBackend, "create_subnet_group")
def create_subnet_group(original, self, subnet_name, description, subnets, tags):
    """Refused when there is one of that name; moto replaces it."""
    if subnet_name in self.subnet_groups:
        raise RDSClientError(
            "DBSubnetGroupAlreadyExists", f"The DB subnet group '{subnet_name}' already exists."
        )
    _check(subnets)
    group = DBSubnetGroup(self, subnet_name, description, subnets, tags)
    self.subnet_groups[group.name] = group
    return group


@mend(RDSBackend, "modify_db_subnet_group")
def modify_db_subnet_group(original, self, subnet_name, description, subnets):
    """The group stays; moto loses it."""
    group = self.subnet_groups.get(subnet_name)
    if group is None:
        raise DBSubnetGroupNotFoundError(subnet_name)
    _check(subnets)
    group.subnets = subnets
    if description is not None:
        group.description = description
    return group


@mend(RDSBackend, "delete_subnet_group")
def delete_subnet_group(original, self, subnet_name):
    """Refused while a database is in it."""
    group = self.subnet_groups.get(subnet_name)
    for database in self.databases.values():
        if group is not None and getattr(database, "db_subnet_group", None) is group:
            raise RDSClientError(
                "InvalidDBSubnetGroupStateFault",
                f"Cannot delete the subnet group '{group.name}' because at least one database "
                f"instance: {database.db_instance_identifier} is still using it.",
            )
    return original(self, subnet_name)
