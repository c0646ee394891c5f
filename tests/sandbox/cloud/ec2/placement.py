"""Where launches are placed: in which placement group, and whether on hardware of their own.

moto has no placement groups, and puts every instance on shared hardware.
"""

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response
from moto.ec2.utils import generic_filter, random_id

from ..mend import add
from . import filters

_USING = ("pending", "running", "stopping", "stopped", "shutting-down")
_TENANCIES = ("default", "dedicated", "host")


class PlacementGroup:
    """One placement group."""

    def __init__(self, ec2, name, strategy, partitions):
        self.id = random_id("pg")
        self.name = name
        self.strategy = strategy
        self.partitions = partitions
        self.arn = (
            f"arn:{ec2.partition}:ec2:{ec2.region_name}:{ec2.account_id}:placement-group/{name}"
        )

    def get_filter_value(self, name, method_name=None):
        """What DescribePlacementGroups filters by."""
        values = {
            "group-id": self.id,
            "group-name": self.name,
            "state": "available",
            "strategy": self.strategy,
        }
        return filters.value(values, name)

    def shown(self):
        """The group as answers have it."""
        shown = {
            "GroupArn": self.arn,
            "GroupId": self.id,
            "GroupName": self.name,
            "PartitionCount": self.partitions,
            "State": "available",
            "Strategy": self.strategy,
        }
        return {name: value for name, value in shown.items() if value is not None}


def _all(ec2):
    """By name."""
    return ec2.__dict__.setdefault("placement_groups", {})


def _find(ec2, name):
    found = _all(ec2).get(name)
    if found is None:
        raise EC2ClientError(
            "InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown."
        )
    return found


def _find_by_id(ec2, group_id):
    for group in _all(ec2).values():
        if group.id == group_id:
            return group
    raise EC2ClientError(
        "InvalidPlacementGroupId.Unknown", f"The Placement Group ID '{group_id}' is unknown."
    )


class Place:
    """What a launch says of where it is to be."""

    def __init__(self, ec2, asked):
        wanted = asked.get("Placement") or {}
        self.tenancy = wanted.get("Tenancy") or "default"
        if self.tenancy not in _TENANCIES:
            raise EC2ClientError(
                "InvalidParameterValue",
                f"Value ({self.tenancy}) for parameter tenancy is invalid.",
            )
        self.group = None
        if wanted.get("GroupId"):
            self.group = _find_by_id(ec2, wanted["GroupId"])
        elif wanted.get("GroupName"):
            self.group = _find(ec2, wanted["GroupName"])

    def settle(self, instance):
        """A new instance is there."""
        instance.placement.tenancy = self.tenancy
        if self.group:
            instance.placement.group_name = self.group.name
            instance.placement.group_id = self.group.id


@add(EC2Response)
def create_placement_group(self):
    """One for each name."""
    name, strategy = self._get_param("GroupName"), self._get_param("Strategy", "cluster")
    self.error_on_dryrun()
    groups = _all(self.ec2_backend)
    if name in groups:
        raise EC2ClientError(
            "InvalidPlacementGroup.Duplicate", f"The Placement Group '{name}' already exists."
        )
    partitions = self._get_param("PartitionCount", 7) if strategy == "partition" else None
    groups[name] = PlacementGroup(self.ec2_backend, name, strategy, partitions)
    return ActionResult({"PlacementGroup": groups[name].shown()})


@add(EC2Response)
def describe_placement_groups(self):
    """Those of these names or ids, or all, as far as filters let them through."""
    ec2 = self.ec2_backend
    named = [_find(ec2, name) for name in self._get_param("GroupNames", [])]
    named += [_find_by_id(ec2, group_id) for group_id in self._get_param("GroupIds", [])]
    found = generic_filter(self._filters_from_querystring(), named or list(_all(ec2).values()))
    return ActionResult({"PlacementGroups": [group.shown() for group in found]})


@add(EC2Response)
def delete_placement_group(self):
    """A group that nothing is in."""
    name = self._get_param("GroupName")
    self.error_on_dryrun()
    group = _find(self.ec2_backend, name)
    for instance in self.ec2_backend.all_instances():
        if instance.placement.group_name == group.name and instance.state in _USING:
            raise EC2ClientError(
                "InvalidPlacementGroup.InUse", f"The placement group '{name}' is in use."
            )
    del _all(self.ec2_backend)[name]
    return ActionResult({})
