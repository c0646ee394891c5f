"""Capacity reservations: room for so many instances of a type in a zone, and launches that take of it.

A launch names the reservation that it wants, or takes of one that is open to all of its type, or
keeps out of all of them. moto has none of this.
"""

import datetime

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.responses import EC2Response
from moto.ec2.utils import generic_filter, random_id

from ..mend import add
from . import filters, tokens

_USING = ("pending", "running", "stopping", "shutting-down")


class CapacityReservation:
    """One reservation, with the instances that are in it."""

    def __init__(self, ec2, asked, tags):
        self.id = random_id("cr")
        self.owner = ec2.account_id
        self.arn = (
            f"arn:{ec2.partition}:ec2:{ec2.region_name}:{ec2.account_id}"
            f":capacity-reservation/{self.id}"
        )
        self.asked = asked
        self.instance_type = asked["InstanceType"]
        self.zone = asked["AvailabilityZone"]
        self.criteria = asked.get("InstanceMatchCriteria") or "open"
        self.count = int(asked["InstanceCount"])
        self.state = "active"
        self.tags = tags
        self.instances = []
        self.created = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)

    @property
    def available(self):
        """How many instances are left."""
        if self.state != "active":
            return 0
        using = sum(instance.state in _USING for instance in self.instances)
        return max(self.count - using, 0)

    def matches(self, instance_type, zone):
        """Whether a launch of this type in this zone can be in it."""
        return self.state == "active" and (self.instance_type, self.zone) == (instance_type, zone)

    def take(self, instance):
        """One more instance is in it."""
        self.instances.append(instance)
        instance.capacity_reservation_id = self.id

    def cancel(self):
        """It ends, and its instances go on as if they had been bought on demand."""
        self.state = "cancelled"
        for instance in self.instances:
            instance.capacity_reservation_id = None
        self.instances = []

    def get_filter_value(self, name, method_name=None):
        """What DescribeCapacityReservations filters by."""
        if name == "tag-key":
            return list(self.tags)
        if name.startswith("tag:"):
            return self.tags.get(name.removeprefix("tag:"))
        values = {
            "availability-zone": self.zone,
            "end-date-type": self.asked.get("EndDateType") or "unlimited",
            "instance-match-criteria": self.criteria,
            "instance-platform": self.asked["InstancePlatform"],
            "instance-type": self.instance_type,
            "owner-id": self.owner,
            "state": self.state,
            "tenancy": self.asked.get("Tenancy") or "default",
        }
        return filters.value(values, name)

    def shown(self):
        """The reservation as answers have it."""
        shown = {
            "AvailabilityZone": self.zone,
            "AvailableInstanceCount": self.available,
            "CapacityReservationArn": self.arn,
            "CapacityReservationId": self.id,
            "CreateDate": self.created,
            "EndDate": self.asked.get("EndDate"),
            "EndDateType": self.asked.get("EndDateType") or "unlimited",
            "InstanceMatchCriteria": self.criteria,
            "InstancePlatform": self.asked["InstancePlatform"],
            "InstanceType": self.instance_type,
            "OwnerId": self.owner,
            "ReservationType": "default",
            "StartDate": self.created,
            "State": self.state,
            "Tags": [{"Key": key, "Value": value} for key, value in self.tags.items()],
            "Tenancy": self.asked.get("Tenancy") or "default",
            "TotalInstanceCount": self.count,
        }
        return {name: value for name, value in shown.items() if value is not None}


class ReservationCapacityExceeded(EC2ClientError):
    """Nothing is left of a reservation for a launch that wants it alone."""

    def __init__(self, reservation_id):
        super().__init__(
            "ReservationCapacityExceeded",
            f"The requested Capacity Reservation '{reservation_id}' does not have sufficient "
            "compatible and available capacity for this request.",
        )


def _all(ec2):
    return ec2.__dict__.setdefault("capacity_reservations", {})


def _find(ec2, reservation_id):
    found = _all(ec2).get(reservation_id)
    if found is None:
        raise EC2ClientError(
            "InvalidCapacityReservationId.NotFound",
            f"The capacity reservation ID '{reservation_id}' was not found",
        )
    return found


class Wish:
    """What a launch wants of reservations."""

    def __init__(self, ec2, asked, spot):
        wanted = asked.get("CapacityReservationSpecification") or {}
        target = wanted.get("CapacityReservationTarget") or {}
        self.ec2 = ec2
        self.specification = wanted
        self.target = target.get("CapacityReservationId")
        self.open = not spot and wanted.get("CapacityReservationPreference", "open") == "open"
        if self.target:
            _find(ec2, self.target)

    def check(self, count, instance_type, zone):
        """Raise when the reservation that is wanted has no room for so many."""
        left = self.left(instance_type, zone)
        if left is not None and left < count:
            raise ReservationCapacityExceeded(self.target)

    def left(self, instance_type, zone):
        """How many instances are left of the reservation that is wanted; None where it is none."""
        if not self.target:
            return None
        reservation = _find(self.ec2, self.target)
        return reservation.available if reservation.matches(instance_type, zone) else 0

    def settle(self, instance, zone):
        """A new instance takes its place, if it has one in some reservation."""
        if self.specification:
            instance.capacity_reservation_specification = self.specification
        if self.target:
            _find(self.ec2, self.target).take(instance)
        elif self.open:
            for reservation in _all(self.ec2).values():
                matches = reservation.matches(instance.instance_type, zone)
                if reservation.criteria == "open" and matches and reservation.available:
                    reservation.take(instance)
                    return


@add(EC2Response)
def create_capacity_reservation(self):
    """One reservation per client token, of a type and in a zone that there are."""
    names = (
        "InstanceType",
        "InstancePlatform",
        "AvailabilityZone",
        "InstanceCount",
        "InstanceMatchCriteria",
        "EndDate",
        "EndDateType",
        "Tenancy",
    )
    asked = {name: self._get_param(name) for name in names}
    tags = {
        tag["Key"]: tag.get("Value", "")
        for specification in self._get_param("TagSpecifications", [])
        for tag in specification.get("Tags", [])
    }
    self.error_on_dryrun()
    if asked["InstanceType"] not in INSTANCE_TYPES:
        raise EC2ClientError(
            "InvalidParameterValue", f"Invalid value '{asked['InstanceType']}' for InstanceType."
        )
    ec2 = self.ec2_backend

    def make():
        reservation = CapacityReservation(ec2, asked, tags)
        _all(ec2)[reservation.id] = reservation
        return reservation

    token = self._get_param("ClientToken")
    made = tokens.once(ec2, "CreateCapacityReservation", token, {**asked, "tags": tags}, make)
    return ActionResult({"CapacityReservation": made.shown()})


@add(EC2Response)
def describe_capacity_reservations(self):
    """Those of these ids, or all, as far as filters let them through."""
    ec2 = self.ec2_backend
    ids = self._get_param("CapacityReservationIds", [])
    found = [_find(ec2, name) for name in ids] if ids else list(_all(ec2).values())
    found = generic_filter(self._filters_from_querystring(), found)
    return ActionResult({"CapacityReservations": [reservation.shown() for reservation in found]})


@add(EC2Response)
def cancel_capacity_reservation(self):
    """Its room is gone; EC2 shows it for another while."""
    self.error_on_dryrun()
    _find(self.ec2_backend, self._get_param("CapacityReservationId")).cancel()
    return ActionResult({"Return": True})
