"""RunInstances and TerminateInstances by way of `launch`; launch templates without moto's additions."""

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError, InvalidParameterCombination, OperationNotPermitted4
from moto.ec2.models import EC2Backend
from moto.ec2.responses import EC2Response
from moto.ec2.utils import convert_tag_spec, parse_user_data

from ..mend import mend
from . import launch, tokens

_ASKED = (
    "BlockDeviceMappings",
    "CapacityReservationSpecification",
    "DisableApiStop",
    "DisableApiTermination",
    "EbsOptimized",
    "IamInstanceProfile",
    "ImageId",
    "InstanceInitiatedShutdownBehavior",
    "InstanceMarketOptions",
    "InstanceType",
    "KeyName",
    "LaunchTemplate",
    "MetadataOptions",
    "Monitoring",
    "NetworkInterfaces",
    "Placement",
    "PrivateIpAddress",
    "SecurityGroupIds",
    "SecurityGroups",
    "SubnetId",
    "TagSpecifications",
    "UserData",
)


@mend(EC2Response, "run_instances")
def run_instances(original, self):
    """Checks first, then as many instances as asked for, once per client token."""
    ec2 = self.ec2_backend
    asked = {name: self._get_param(name) for name in _ASKED}
    asked = {name: value for name, value in asked.items() if value not in (None, [], {})}
    plan = launch.Plan(ec2, asked)
    self.error_on_dryrun()
    token = self._get_param("ClientToken")

    def make():
        count = int(self._get_param("MaxCount", self._get_param("MinCount", 1)))
        return launch.launch(plan, count, token)

    reservation = tokens.once(
        ec2, "RunInstances", token, {**asked, "n": self._get_param("MaxCount")}, make
    )
    if any(instance.state in ("shutting-down", "terminated") for instance in reservation.instances):
        raise EC2ClientError(
            "IdempotentInstanceTerminated",
            "The request uses the same client token as a previous request for which the instance "
            "has been terminated.",
        )
    return ActionResult(reservation)


@mend(EC2Backend, "terminate_instances")
def terminate_instances(original, self, instance_ids):
    """Instances shut down first, and keep their interfaces until they are gone."""
    if not instance_ids:
        raise InvalidParameterCombination("No instances specified")
    instances = self.get_multi_instances_by_id(instance_ids)
    for instance in instances:
        if instance.disable_api_termination is True:
            raise OperationNotPermitted4(instance.id)
    return [(instance, launch.terminate(self, instance)) for instance in instances]


@mend(EC2Response, "create_launch_template")
def create_launch_template(original, self):
    """The data stays as it was given; the template's own tags stay out of it."""
    name = self._get_param("LaunchTemplateName")
    data = dict(self._get_param("LaunchTemplateData", {}))
    if data.get("UserData") is not None:
        data["UserData"] = parse_user_data(data["UserData"])
    tags = convert_tag_spec(self._get_param("TagSpecifications", []))
    self.error_on_dryrun()
    description = self._get_param("VersionDescription")
    asked = {"name": name, "data": str(data), "tags": tags}
    template = tokens.once(
        self.ec2_backend,
        "CreateLaunchTemplate",
        self._get_param("ClientToken"),
        asked,
        lambda: self.ec2_backend.create_launch_template(name, description, data, tags),
    )
    return ActionResult({"LaunchTemplate": _describe(self, template)})


@mend(EC2Response, "create_launch_template_version")
def create_launch_template_version(original, self):
    """One version per client token; `SourceVersion` is what the new data is laid over."""
    ec2 = self.ec2_backend
    template = _template(self)
    data = dict(self._get_param("LaunchTemplateData", {}))
    if data.get("UserData") is not None:
        data["UserData"] = parse_user_data(data["UserData"])
    source = self._get_param("SourceVersion")
    if source:
        data = {**template.get_version(source).data, **data}
    description = self._get_param("VersionDescription")
    self.error_on_dryrun()
    version = tokens.once(
        ec2,
        "CreateLaunchTemplateVersion",
        self._get_param("ClientToken"),
        {"template": template.id, "data": str(data)},
        lambda: template.create_version(data, description),
    )
    return ActionResult(
        {
            "LaunchTemplateVersion": {
                "CreateTime": version.create_time,
                "CreatedBy": f"arn:{self.partition}:iam::{self.current_account}:root",
                "DefaultVersion": template.is_default(version),
                "LaunchTemplateData": version.data,
                "LaunchTemplateId": template.id,
                "LaunchTemplateName": template.name,
                "VersionDescription": version.description,
                "VersionNumber": version.number,
            }
        }
    )


@mend(EC2Backend, "describe_launch_templates")
def describe_launch_templates(original, self, template_names=None, template_ids=None, filters=None):
    """An id that is not there has an error, where moto leaves it out."""
    for name in template_ids or []:
        self.get_launch_template(name)
    return original(self, template_names, template_ids, filters)


@mend(EC2Backend, "delete_launch_template")
def delete_launch_template(original, self, name, tid):
    """Its tags go with it."""
    template = original(self, name, tid)
    self.tags.pop(template.id, None)
    return template


def _template(response):
    template_id = response._get_param("LaunchTemplateId")
    if template_id:
        return response.ec2_backend.get_launch_template(template_id)
    return response.ec2_backend.get_launch_template_by_name(
        response._get_param("LaunchTemplateName")
    )


def _describe(response, template):
    return {
        "CreateTime": template.create_time,
        "CreatedBy": f"arn:{response.partition}:iam::{response.current_account}:root",
        "DefaultVersionNumber": template.default_version_number,
        "LatestVersionNumber": template.latest_version_number,
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "Tags": template.get_tags(),
    }
