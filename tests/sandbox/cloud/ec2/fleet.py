"""CreateFleet of type `instant`: the launch template honoured, the pool chosen by price and room.

moto takes the first override whatever the strategy, and leaves out security groups and profile.
Fleets of other types stay moto's.
"""

import dataclasses
import functools

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response
from moto.ec2.utils import random_fleet_id

from ..mend import mend
from ..weather import WEATHER
from . import capacity, launch, reservations, tokens


@dataclasses.dataclass
class Pool:
    """One way to get an instance: a type in a subnet, by a launch template."""

    ec2: object
    asked: dict
    override: dict
    specification: dict
    spot: bool
    instance_type: str | None = None
    zone: str | None = None
    error: EC2ClientError | None = None

    @functools.cached_property
    def plan(self):
        """The launch, checked. Only pools that are tried have one: there may be hundreds of others."""
        return launch.Plan(self.ec2, self.asked, self.spot)

    def look(self):
        """Learn what pools are chosen by."""
        kind, subnet = self.override.get("InstanceType"), self.override.get("SubnetId")
        if kind and subnet:
            self.instance_type = kind
            self.zone = self.ec2.get_subnet(subnet).availability_zone
            if not capacity.is_offered(self.ec2.region_name, kind, self.zone):
                # It says what is wrong with it.
                self.plan  # noqa: B018
        else:
            self.instance_type, self.zone = self.plan.instance_type, self.plan.zone

    @property
    def weight(self):
        """How much of the target capacity one instance is."""
        return float(self.override.get("WeightedCapacity") or 1)

    def price(self, spot):
        """US dollars per hour and unit of capacity."""
        return capacity.price(self.instance_type, self.zone, spot) / self.weight

    def shown(self):
        """The pool as the answer names it."""
        override = {
            **self.override,
            "InstanceType": self.instance_type or self.override.get("InstanceType"),
            "SubnetId": self.override.get("SubnetId"),
        }
        if self.zone:
            override["AvailabilityZone"] = self.zone
        return {
            "LaunchTemplateSpecification": self.specification,
            "Overrides": {name: value for name, value in override.items() if value is not None},
        }


@mend(EC2Response, "create_fleet")
def create_fleet(original, self):
    """One fleet per client token."""
    if self._get_param("Type") != "instant":
        return original(self)
    self.error_on_dryrun()
    ec2 = self.ec2_backend
    asked = {
        name: self._get_param(name)
        for name in (
            "LaunchTemplateConfigs",
            "TargetCapacitySpecification",
            "OnDemandOptions",
            "SpotOptions",
            "TagSpecifications",
        )
    }
    answer = tokens.once(
        ec2, "CreateFleet", self._get_param("ClientToken"), asked, lambda: _make(ec2, asked)
    )
    return ActionResult(answer)


def _make(ec2, asked):
    fleet_id = random_fleet_id()
    target = asked["TargetCapacitySpecification"] or {}
    wanted = {
        False: int(target.get("OnDemandTargetCapacity") or 0),
        True: int(target.get("SpotTargetCapacity") or 0),
    }
    rest = int(target.get("TotalTargetCapacity") or 0) - sum(wanted.values())
    wanted[(target.get("DefaultTargetCapacityType") or "on-demand") == "spot"] += max(rest, 0)
    instances, errors = [], []
    limit = WEATHER.now.fleet_limit
    for spot, amount in wanted.items():
        if amount > 0:
            room = None if limit is None else limit - sum(len(i["InstanceIds"]) for i in instances)
            got, failed = _fill(ec2, asked, fleet_id, spot, amount, room)
            instances += got
            errors += failed
    return {"FleetId": fleet_id, "Instances": instances, "Errors": errors}


def _fill(ec2, asked, fleet_id, spot, amount, room):
    """Instances for `amount` of capacity from the best pools. Returns instances and errors."""
    options = asked["SpotOptions" if spot else "OnDemandOptions"] or {}
    strategy = options.get("AllocationStrategy") or "lowest-price"
    pools = _pools(ec2, asked, fleet_id, spot)
    lifecycle = "spot" if spot else "on-demand"
    errors = [_error(pool, lifecycle, pool.error) for pool in pools if pool.error]
    pools = _ordered([pool for pool in pools if not pool.error], strategy, spot)
    instances, left = [], float(amount)
    for pool in pools:
        if left <= 0 or (instances and room == 0):
            # EC2 does not say that pools are empty that it has not tried.
            break
        count = max(1, -int(-left // pool.weight))
        granted = count if room is None else min(count, room)
        try:
            reserved = pool.plan.left()
            granted = granted if reserved is None else min(granted, reserved)
            if granted > 0:
                reservation = launch.launch(pool.plan, granted)
                instances.append(_launched(pool, reservation, lifecycle))
                left -= granted * pool.weight
                room = None if room is None else room - granted
            if reserved is not None and granted < count:
                raise reservations.ReservationCapacityExceeded(pool.plan.wish.target)
            if granted < count:
                raise launch.InsufficientCapacity(pool.instance_type, pool.zone)
        except EC2ClientError as error:
            errors.append(_error(pool, lifecycle, error))
    if instances and left <= 0 and not WEATHER.now.fleet_limit:
        # What was passed over on the way to success is not told.
        errors = [entry for entry in errors if "Insufficient" in entry["ErrorCode"]]
    minimum = float(options.get("MinTargetCapacity") or 0)
    if minimum and amount - left < minimum:
        for entry in instances:
            for instance in ec2.get_multi_instances_by_id(entry["InstanceIds"]):
                launch.terminate(ec2, instance)
        instances = []
    return instances, errors


def _pools(ec2, asked, fleet_id, spot):
    """Every pool of the request; one that cannot be chosen has its error."""
    pools = []
    for config in asked["LaunchTemplateConfigs"] or []:
        specification = _resolved(ec2, config.get("LaunchTemplateSpecification") or {})
        tags = _tags(asked, fleet_id)
        for override in config.get("Overrides") or [{}]:
            request = {
                "LaunchTemplate": {
                    name: specification[name] for name in ("LaunchTemplateId", "Version")
                },
                "InstanceType": override.get("InstanceType"),
                "SubnetId": override.get("SubnetId"),
                "ImageId": override.get("ImageId"),
                "BlockDeviceMappings": override.get("BlockDeviceMappings"),
                "TagSpecifications": tags,
            }
            if override.get("AvailabilityZone"):
                request["Placement"] = {"AvailabilityZone": override["AvailabilityZone"]}
            request = {name: value for name, value in request.items() if value}
            pool = Pool(ec2, request, override, specification, spot)
            try:
                pool.look()
                if _too_dear(pool, spot):
                    continue
            except EC2ClientError as error:
                pool.error = error
            pools.append(pool)
    return pools


def _too_dear(pool, spot):
    most = pool.override.get("MaxPrice")
    return spot and most and capacity.price(pool.instance_type, pool.zone, True) > float(most)


def _resolved(ec2, specification):
    """The launch template by id and version number, as the answer names it."""
    if specification.get("LaunchTemplateId"):
        template = ec2.get_launch_template(specification["LaunchTemplateId"])
    else:
        template = ec2.get_launch_template_by_name(specification["LaunchTemplateName"])
    version = template.get_version(specification.get("Version") or "$Default")
    return {"LaunchTemplateId": template.id, "Version": str(version.number)}


def _tags(asked, fleet_id):
    """Tags of instances and volumes, with the one by which EC2 marks instances of a fleet."""
    specifications = [
        specification
        for specification in asked["TagSpecifications"] or []
        if specification.get("ResourceType") != "fleet"
    ]
    fleet = {"Key": "aws:ec2:fleet-id", "Value": fleet_id}
    return [*specifications, {"ResourceType": "instance", "Tags": [fleet]}]


def _ordered(pools, strategy, spot):
    """Pools in the order in which the strategy tries them."""

    def by_price(pool):
        return pool.price(spot)

    def by_priority(pool):
        return float(pool.override.get("Priority") or 1e9), pool.price(spot)

    def by_room(pool):
        return -capacity.spareness(pool.instance_type, pool.zone)

    if strategy in ("prioritized", "capacity-optimized-prioritized"):
        return sorted(pools, key=by_priority)
    if strategy == "capacity-optimized":
        return sorted(pools, key=by_room)
    if strategy == "price-capacity-optimized" and pools:
        # Among the pools with most room, the cheapest; then the others.
        ranked = sorted(pools, key=by_room)
        half = max(1, (len(ranked) + 1) // 2)
        return sorted(ranked[:half], key=by_price) + sorted(ranked[half:], key=by_price)
    return sorted(pools, key=by_price)


def _launched(pool, reservation, lifecycle):
    return {
        "LaunchTemplateAndOverrides": pool.shown(),
        "Lifecycle": lifecycle,
        "InstanceIds": [instance.id for instance in reservation.instances],
        "InstanceType": pool.instance_type,
    }


def _error(pool, lifecycle, error):
    return {
        "LaunchTemplateAndOverrides": pool.shown(),
        "Lifecycle": lifecycle,
        "ErrorCode": error.code,
        "ErrorMessage": error.message,
    }
