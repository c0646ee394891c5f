"""SSM: the public parameters that name images, and instances that report to Session Manager."""

import datetime
import json

from moto.ssm.models import Parameter, ParameterDict
from moto.ssm.responses import SimpleSystemManagerResponse

from . import identity
from .ec2 import images
from .mend import add, mend

_MADE = datetime.datetime(2026, 11, 2, 8, 0, 0)


@mend(ParameterDict, "_check_loading_status")
def _check_loading_status(original, self, key):
    """Public parameters come from the catalogue of images, all at once when one is asked for."""
    if not str(key or "").startswith("/aws/service") or getattr(self, "catalogue_loaded", False):
        return
    self.catalogue_loaded = True
    for image in images.catalogue():
        for name, value in _parameters_of(image, self.region_name):
            parameter = Parameter(
                account_id=self.account_id,
                name=name,
                value=value,
                parameter_type="String",
                description=None,
                allowed_pattern=None,
                keyid=None,
                last_modified_date=_MADE.timestamp(),
                version=1,
                data_type="aws:ec2:image" if value.startswith("ami-") else "text",
            )
            dict.__setitem__(self, name, [parameter])


def _parameters_of(image, region):
    """Names and values of the parameters that an image has."""
    yield image.parameter, image.id(region)
    folder, _, last = image.parameter.rpartition("/")
    if last == "image_id":
        release = images.BOTTLEROCKET_RELEASE
        if "/eks/optimized-ami/" in folder:
            release = image.name.rsplit("-v", 1)[-1]
            version = folder.split("/")[5]
            from .eks.nodegroups import release_of

            yield f"{folder}/release_version", release_of(version)
            yield f"{folder}/image_name", image.name
        else:
            yield f"{folder}/image_version", release


@add(SimpleSystemManagerResponse)
def describe_instance_information(self):
    """Running instances whose role lets their agent report, as Online."""
    from moto.ec2.models import ec2_backends

    asked = json.loads(self.body or "{}")
    wanted = _wanted_ids(asked)
    ec2 = ec2_backends[self.current_account][self.region]
    found = []
    for reservation in ec2.reservations.values():
        for instance in reservation.instances:
            if wanted is not None and instance.id not in wanted:
                continue
            if instance.state == "running" and _reports(
                instance, self.current_account, self.region
            ):
                found.append(_describe(instance))
    return json.dumps({"InstanceInformationList": found})


def _wanted_ids(asked):
    """Ids that both kinds of filter of this call can name; None when neither does."""
    for entry in asked.get("Filters") or []:
        if entry.get("Key") == "InstanceIds":
            return set(entry.get("Values", []))
    for entry in asked.get("InstanceInformationFilterList") or []:
        if entry.get("key") == "InstanceIds":
            return set(entry.get("valueSet", []))
    return None


def _reports(instance, account, region):
    """Whether the agent of an instance may talk to SSM: by the role of its profile."""
    profile_arn = (instance.iam_instance_profile or {}).get("Arn")
    if not profile_arn:
        return False
    profile = identity.find_instance_profile(account, region, arn=profile_arn)
    if profile is None:
        return False
    return any(
        "AmazonSSMManagedInstanceCore" in identity.attached_policy_names(role)
        for role in profile.roles
    )


def _describe(instance):
    return {
        "InstanceId": instance.id,
        "PingStatus": "Online",
        "LastPingDateTime": datetime.datetime.now(datetime.timezone.utc).timestamp(),
        "AgentVersion": "3.3.2299.0",
        "IsLatestVersion": True,
        "PlatformType": "Linux",
        "PlatformName": "Amazon Linux",
        "PlatformVersion": "2023",
        "ResourceType": "EC2Instance",
        "IPAddress": instance.private_ip,
        "ComputerName": instance.private_dns_name,
        "AssociationStatus": "Success",
    }
