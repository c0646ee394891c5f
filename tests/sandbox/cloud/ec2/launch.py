"""Launching instances as EC2 does: the launch template honoured in full, everything checked first.

`RunInstances`, `CreateFleet` and the node groups of EKS all come through `launch`.
"""

import copy

from moto.core.types import Base64EncodedString
from moto.ec2.exceptions import (
    EC2ClientError,
    InvalidAMIIdError,
    InvalidParameterCombination,
    InvalidSecurityGroupNotFoundError,
)
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.instances import Instance, Reservation
from moto.ec2.models.launch_templates import LaunchTemplate
from moto.ec2.utils import parse_user_data, random_reservation_id

from .. import identity, trust
from ..clock import after
from ..weather import WEATHER
from . import capacity, interfaces, placement, reservations

_USER_DATA_LIMIT = 16384

# What happens when an instance is about to be gone: functions of moto's EC2 and the instance.
BEFORE_GONE = []


class InsufficientCapacity(EC2ClientError):
    """There is no room for this type in this zone."""

    def __init__(self, instance_type, zone):
        super().__init__(
            "InsufficientInstanceCapacity",
            f"We currently do not have sufficient {instance_type} capacity in the Availability Zone "
            f"you requested ({zone}). Our system will be working on provisioning additional capacity. "
            "You can currently get capacity by not specifying an Availability Zone in your request "
            "or choosing another one.",
        )


def with_template(ec2, asked):
    """The request `asked` with what its launch template adds. Returns it and the version, or None."""
    wanted = asked.get("LaunchTemplate") or {}
    if not wanted:
        return dict(asked), None
    version = ec2._get_template_from_args(wanted)
    data = {name: copy.deepcopy(value) for name, value in version.data.items() if value is not None}
    merged = {
        **data,
        **{name: value for name, value in asked.items() if value not in (None, [], {})},
    }
    merged["TagSpecifications"] = _merged_tags(
        data.get("TagSpecifications", []), asked.get("TagSpecifications", [])
    )
    if data.get("Placement") and asked.get("Placement"):
        merged["Placement"] = {**data["Placement"], **asked["Placement"]}
    if (
        asked.get("SubnetId")
        and not asked.get("NetworkInterfaces")
        and data.get("NetworkInterfaces")
    ):
        # The subnet of the request goes into the template's first interface.
        merged["NetworkInterfaces"][0]["SubnetId"] = merged.pop("SubnetId")
    if asked.get("SecurityGroupIds") and not asked.get("NetworkInterfaces"):
        for nic in merged.get("NetworkInterfaces", []):
            nic["Groups"] = asked["SecurityGroupIds"]
    return merged, version


def _merged_tags(below, above):
    tags = {}
    for specification in [*below, *above]:
        into = tags.setdefault(specification["ResourceType"], {})
        into.update({tag["Key"]: tag.get("Value", "") for tag in specification.get("Tags", [])})
    return [
        {"ResourceType": kind, "Tags": [{"Key": k, "Value": v} for k, v in pairs.items()]}
        for kind, pairs in tags.items()
    ]


class Plan:
    """A launch that has been checked: what `launch` needs, resolved."""

    def __init__(self, ec2, asked, spot=False):
        self.ec2 = ec2
        self.asked, self.version = with_template(ec2, asked)
        self.spot = spot or _wants_spot(self.asked)
        self.image = _image(ec2, self.asked)
        self.instance_type = self.asked.get("InstanceType") or "m1.small"
        self.subnet = _subnet(ec2, self.asked)
        self.zone = self.subnet.availability_zone
        self.nics = _nics(ec2, self.asked, self.subnet)
        self.profile = _profile(ec2, self.asked)
        self.user_data = _user_data(self.asked)
        self.wish = reservations.Wish(ec2, self.asked, self.spot)
        self.place = placement.Place(ec2, self.asked)
        self.tags = {
            entry["ResourceType"]: {tag["Key"]: tag.get("Value", "") for tag in entry["Tags"]}
            for entry in self.asked.get("TagSpecifications", [])
        }
        self._check()

    def _check(self):
        _check_type(self.instance_type, self.image)
        if not capacity.is_offered(self.ec2.region_name, self.instance_type, self.zone):
            raise EC2ClientError(
                "Unsupported",
                f"Your requested instance type ({self.instance_type}) is not supported in your "
                f"requested Availability Zone ({self.zone}).",
            )
        key_name = self.asked.get("KeyName")
        if key_name and key_name not in self.ec2.key_pairs:
            raise EC2ClientError(
                "InvalidKeyPair.NotFound", f"The key pair '{key_name}' does not exist"
            )
        if self.user_data and len(self.user_data.as_bytes()) > _USER_DATA_LIMIT * 4 // 3 + 4:
            raise EC2ClientError(
                "InvalidParameterValue",
                f"User data is limited to {_USER_DATA_LIMIT} bytes",
            )
        capacity.check_spot_role(self.ec2, self.spot)

    def left(self):
        """How many instances its capacity reservation leaves; None where it wants none."""
        return self.wish.left(self.instance_type, self.zone)

    def check_capacity(self, count):
        """Raise when there is no room for this launch."""
        if self.wish.target:
            # What is reserved is there, whatever everybody else is told.
            self.wish.check(count, self.instance_type, self.zone)
            return
        if capacity.is_missing(self.instance_type, self.zone, self.spot):
            raise InsufficientCapacity(self.instance_type, self.zone)


def launch(plan, count, client_token=None):
    """Launch `count` instances. Returns moto's reservation."""
    ec2, asked = plan.ec2, plan.asked
    plan.check_capacity(count)
    if plan.subnet.available_ip_address_count < count:
        raise EC2ClientError(
            "InsufficientFreeAddressesInSubnet",
            f"There are not enough free addresses in subnet '{plan.subnet.id}' to satisfy the "
            "requested number of instances.",
        )
    reservation = Reservation(random_reservation_id(), ec2.account_id)
    ec2.reservations[reservation.id] = reservation
    for index in range(count):
        instance = Instance(
            ec2,
            plan.image.id,
            plan.user_data,
            [],
            nics=plan.nics,
            instance_type=plan.instance_type,
            region_name=ec2.region_name,
            subnet_id=plan.subnet.id,
            key_name=asked.get("KeyName"),
            associate_public_ip=None,
            private_ip=asked.get("PrivateIpAddress"),
            ebs_optimized=asked.get("EbsOptimized", False),
            disable_api_termination=asked.get("DisableApiTermination", False),
            disable_api_stop=asked.get("DisableApiStop", False),
            instance_initiated_shutdown_behavior=asked.get("InstanceInitiatedShutdownBehavior"),
            monitoring_state="enabled"
            if asked.get("Monitoring", {}).get("Enabled")
            else "disabled",
            metadata_options=asked.get("MetadataOptions", {}),
            lifecycle="spot" if plan.spot else None,
            client_token=client_token or "",
            ami_launch_index=index,
        )
        reservation.instances.append(instance)
        plan.wish.settle(instance, plan.zone)
        plan.place.settle(instance)
        _dress(plan, instance)
    return reservation


def _dress(plan, instance):
    """Tags, groups, profile, volumes and state of a new instance."""
    ec2 = plan.ec2
    instance.security_groups = instance.nics[0]._group_set
    template = plan.version.template if plan.version else None
    tags = dict(plan.tags.get("instance", {}))
    if template:
        tags["aws:ec2launchtemplate:id"] = template.id
        tags["aws:ec2launchtemplate:version"] = str(plan.version.number)
    instance.add_tags(tags)
    for nic in instance.nics.values():
        nic.add_tags(plan.tags.get("network-interface", {}))
    if plan.profile:
        ec2.associate_iam_instance_profile(
            instance_id=instance.id, iam_instance_profile_arn=plan.profile.arn
        )
        instance.iam_instance_profile = {"Arn": plan.profile.arn, "Id": plan.profile.id}
    for device, ebs in _devices(plan).items():
        instance.add_block_device(
            ebs.get("VolumeSize"),
            device,
            None,
            ebs.get("Encrypted", False),
            ebs.get("DeleteOnTermination", True),
            ebs.get("KmsKeyId"),
            volume_type=ebs.get("VolumeType", "gp3"),
        )
        volume = ec2.volumes[instance.block_device_mapping[device].volume_id]
        volume.add_tags(plan.tags.get("volume", {}))
    instance.root_device_name = plan.image.root_device_name
    instance._state.name, instance._state.code = "pending", 0
    after(WEATHER.now.to_be_ready("instance"), lambda: _run(instance))


def _run(instance):
    if instance._state.name == "pending":
        instance._state.name, instance._state.code = "running", 16


def _devices(plan):
    """The volumes of an instance: the image's root, and what the request says of it and others."""
    devices = {
        plan.image.root_device_name: {"VolumeSize": plan.image.root_gib, "VolumeType": "gp3"}
    }
    for mapping in plan.asked.get("BlockDeviceMappings", []):
        if "NoDevice" in mapping:
            devices.pop(mapping["DeviceName"], None)
        elif "Ebs" in mapping:
            devices.setdefault(mapping["DeviceName"], {"VolumeSize": 8}).update(
                {name: value for name, value in mapping["Ebs"].items() if value is not None}
            )
    return devices


def _user_data(asked):
    given = asked.get("UserData")
    return given if isinstance(given, Base64EncodedString) else parse_user_data(given)


def _wants_spot(asked):
    return (asked.get("InstanceMarketOptions") or {}).get("MarketType") == "spot"


def _image(ec2, asked):
    image_id = asked.get("ImageId")
    if not image_id:
        raise EC2ClientError("MissingParameter", "The request must contain the parameter ImageId")
    if image_id.startswith("resolve:ssm:"):
        from moto.ssm.models import ssm_backends

        name = image_id.removeprefix("resolve:ssm:")
        parameter = ssm_backends[ec2.account_id][ec2.region_name].get_parameter(name)
        image_id = parameter.value if parameter else name
    if image_id not in ec2.amis:
        raise InvalidAMIIdError([image_id])
    return ec2.amis[image_id]


def _check_type(instance_type, image):
    known = INSTANCE_TYPES.get(instance_type)
    if known is None:
        raise EC2ClientError(
            "InvalidParameterValue", f"Invalid value '{instance_type}' for InstanceType."
        )
    architectures = known["ProcessorInfo"]["SupportedArchitectures"]
    if image.architecture not in architectures:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"The architecture '{','.join(architectures)}' of the specified instance type does not "
            f"match the architecture '{image.architecture}' of the specified AMI. Specify an "
            "instance type and an AMI that have matching architectures, and try again.",
        )


def _subnet(ec2, asked):
    """The subnet of the first interface: asked for, or the default one of a zone."""
    subnet_id = asked.get("SubnetId")
    nics = asked.get("NetworkInterfaces") or []
    if nics and subnet_id:
        raise InvalidParameterCombination(
            "Network interfaces and an instance-level subnet ID may not be specified on the same "
            "request"
        )
    for nic in nics:
        if nic.get("NetworkInterfaceId"):
            return ec2.get_network_interface(nic["NetworkInterfaceId"]).subnet
        subnet_id = subnet_id or nic.get("SubnetId")
    if subnet_id:
        return ec2.get_subnet(subnet_id)
    zone = (asked.get("Placement") or {}).get("AvailabilityZone")
    defaults = ec2.get_default_subnets()
    if zone is None and defaults:
        zone = sorted(defaults)[0]
    if zone not in defaults:
        raise EC2ClientError(
            "VPCIdNotSpecified",
            "No default VPC for this user. GroupName is only supported for "
            "EC2-Classic and default VPC.",
        )
    return defaults[zone]


def _nics(ec2, asked, subnet):
    """The interfaces to make, complete, with their groups checked."""
    groups = list(asked.get("SecurityGroupIds") or [])
    for name in asked.get("SecurityGroups") or []:
        group = ec2.get_security_group_by_name_or_id(name, subnet.vpc_id)
        if group is None:
            raise InvalidSecurityGroupNotFoundError(name)
        groups.append(group.id)
    given = asked.get("NetworkInterfaces") or [{"DeviceIndex": 0}]
    nics = []
    for position, nic in enumerate(given):
        nic = dict(nic)
        nic.setdefault("DeviceIndex", position)
        nic.setdefault("SubnetId", subnet.id)
        nic.setdefault("DeleteOnTermination", True)
        nic["Groups"] = list(nic.get("Groups") or groups)
        if nic.get("AssociatePublicIpAddress") is None:
            nic["AssociatePublicIpAddress"] = bool(subnet.map_public_ip_on_launch)
        for group_id in nic["Groups"]:
            _check_group(ec2, group_id, subnet)
        nics.append(nic)
    return nics


def _check_group(ec2, group_id, subnet):
    group = ec2.get_security_group_from_id(group_id)
    if group is None:
        raise InvalidSecurityGroupNotFoundError(group_id)
    if group.vpc_id != subnet.vpc_id:
        raise EC2ClientError(
            "InvalidParameter",
            f"Security group {group_id} and subnet {subnet.id} belong to different networks.",
        )


def _profile(ec2, asked):
    """The instance profile, if EC2 believes in it yet."""
    wanted = asked.get("IamInstanceProfile") or {}
    name, arn = wanted.get("Name"), wanted.get("Arn")
    if not name and not arn:
        return None
    profile = identity.find_instance_profile(ec2.account_id, ec2.region_name, name, arn)
    if profile is None or not trust.is_believed(profile):
        where = "name" if name else "arn"
        raise EC2ClientError(
            "InvalidParameterValue",
            f"Value ({name or arn}) for parameter iamInstanceProfile.{where} is invalid. "
            f"Invalid IAM Instance Profile {'name' if name else 'ARN'}",
        )
    if not profile.roles:
        raise EC2ClientError(
            "InvalidParameterValue",
            f'IAM Instance Profile "{profile.arn}" has no associated IAM Roles',
        )
    return profile


def terminate(ec2, instance):
    """Begin the end of an instance: it shuts down, and after a while its things are gone."""
    previous = copy.copy(instance._state)
    if instance._state.name in ("terminated", "shutting-down"):
        return previous
    instance._state.name, instance._state.code = "shutting-down", 32
    after(WEATHER.now.to_be_gone("instance"), lambda: _finish(ec2, instance))
    return previous


def _finish(ec2, instance):
    """The instance is gone; what remains is its entry, which EC2 shows for another while."""
    for happen in BEFORE_GONE:
        happen(ec2, instance)
    for nic in list(instance.nics.values()):
        for address in ec2.addresses:
            if address.eni is nic:
                ec2.disassociate_address(association_id=address.association_id)
        nic.attachment_id = None
        nic.instance = None
        nic.status = "available"
        if nic.delete_on_termination:
            nic.stop()
            ec2.enis.pop(nic.id, None)
            ec2.tags.pop(nic.id, None)
            nic.subnet.del_subnet_ip(nic.private_ip_address)
    gone = dict(instance.nics)
    instance.nics = {}
    for device in list(instance.block_device_mapping):
        block = instance.block_device_mapping[device]
        ec2.detach_volume(block.volume_id, instance.id, device)
        if block.delete_on_termination:
            ec2.delete_volume(block.volume_id)
            ec2.tags.pop(block.volume_id, None)
    ec2.iam_instance_profile_associations.pop(instance.id, None)
    instance.nics = _remains(gone)
    instance.security_groups = []
    instance._state.name, instance._state.code = "terminated", 48
    instance._reason = "User initiated"


def _remains(nics):
    """moto reads addresses from the first interface even of what is terminated."""
    shadow = copy.copy(nics.get(0))
    if shadow is None:
        return {}
    shadow.public_ip = None
    shadow.private_ip_address = None
    shadow.private_ip_addresses = []
    return Shadow({0: shadow})


class Shadow(dict):
    """Interfaces of a terminated instance: there for moto's lookups, shown to nobody."""

    def values(self):
        return []


assert interfaces  # importing it mends what this module relies on


# A template answers with the tags that it has now, not with those that it was made with.
LaunchTemplate.tags = property(lambda self: self.get_tags(), lambda self, _: None)
