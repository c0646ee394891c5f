"""The instances of a node group, and the launch template that EKS makes for them."""

import copy

from moto.ec2.exceptions import EC2ClientError

from ..ec2 import images, launch
from .errors import bad_parameter, bad_request
from .vpc import ec2_of

# amiType -> how the path of its SSM parameter goes on after the version.
_AMI_TYPES = {
    "AL2023_x86_64_STANDARD": "amazon-linux-2023/x86_64/standard",
    "AL2023_ARM_64_STANDARD": "amazon-linux-2023/arm64/standard",
    "AL2023_x86_64_NVIDIA": "amazon-linux-2023/x86_64/nvidia",
    "AL2023_ARM_64_NVIDIA": "amazon-linux-2023/arm64/nvidia",
    "AL2023_x86_64_NEURON": "amazon-linux-2023/x86_64/neuron",
}
_BOTTLEROCKET = {
    "BOTTLEROCKET_x86_64": ("", "x86_64"),
    "BOTTLEROCKET_ARM_64": ("", "arm64"),
    "BOTTLEROCKET_x86_64_FIPS": ("", "x86_64"),
    "BOTTLEROCKET_ARM_64_FIPS": ("", "arm64"),
    "BOTTLEROCKET_x86_64_NVIDIA": ("-nvidia", "x86_64"),
    "BOTTLEROCKET_ARM_64_NVIDIA": ("-nvidia", "arm64"),
}
_FORBIDDEN_IN_TEMPLATE = {
    "IamInstanceProfile": "an instance profile. The noderole in your request will be used to "
    "construct an instance profile.",
    "InstanceMarketOptions": "instance market options",
    "HibernationOptions": "hibernation options",
    "InstanceInitiatedShutdownBehavior": "an instance initiated shutdown behavior",
    "DisableApiTermination": "termination protection",
}


def ami_type_image(ami_type, version):
    """The image of the catalogue for an amiType, or the error of EKS for an unknown one."""
    if ami_type in (None, "CUSTOM"):
        return None
    if ami_type in _AMI_TYPES:
        wanted = (
            f"/aws/service/eks/optimized-ami/{version}/{_AMI_TYPES[ami_type]}/recommended/image_id"
        )
    elif ami_type in _BOTTLEROCKET:
        variant, architecture = _BOTTLEROCKET[ami_type]
        wanted = (
            f"/aws/service/bottlerocket/aws-k8s-{version}{variant}/{architecture}/latest/image_id"
        )
    else:
        raise bad_parameter(f"AMI type {ami_type} is not supported")
    for image in images.catalogue():
        if image.parameter == wanted:
            return image
    raise bad_parameter(f"AMI type {ami_type} is not supported for version {version}")


def check_template(ec2, group, asked):
    """A launch template that EKS can use, completed by its id, name and version."""
    if not group.launch_template:
        return
    if "diskSize" in asked:
        raise bad_parameter("Disk size must be specified within the launch template.")
    if "remoteAccess" in asked:
        raise bad_parameter(
            "Remote access configuration cannot be specified with a launch template."
        )
    version = template_version(ec2, group)
    for member, words in _FORBIDDEN_IN_TEMPLATE.items():
        if version.data.get(member):
            raise bad_request(
                f"Launch template {group.launch_template['id']} should not specify {words}"
            )
    if version.data.get("SubnetId") or any(
        nic.get("SubnetId") for nic in version.data.get("NetworkInterfaces", [])
    ):
        raise bad_request("Launch template should not specify a subnet")
    if version.data.get("InstanceType") and asked.get("instanceTypes"):
        raise bad_parameter(
            "Instance types can be given in the launch template or in the request, not in both"
        )


def template_version(ec2, group):
    """The version of the user's launch template; fills in what the user left out of its name."""
    wanted = group.launch_template
    try:
        if "id" in wanted:
            template = ec2.get_launch_template(wanted["id"])
        else:
            template = ec2.get_launch_template_by_name(wanted["name"])
        version = template.get_version(wanted.get("version", "$Default"))
    except EC2ClientError as error:
        raise bad_request(f"Launch template not found: {error.message}") from error
    wanted.update(id=template.id, name=template.name, version=str(version.number))
    return version


class Nodes:
    """What a node group has in EC2."""

    def __init__(self, group):
        self.group = group
        self.ec2 = ec2_of(group.backend)
        self.group_name = f"eks-{group.name}-{group.uuid}"
        self.template = None
        # The health issue that stands for instances that could not be had.
        self.shortage = None

    def ids(self):
        """Ids of the running instances of the group."""
        return [instance.id for instance in self.instances()]

    def instances(self):
        """moto's instances of the group that are not on their way out."""
        wanted = self.group_name
        return [
            instance
            for reservation in self.ec2.reservations.values()
            for instance in reservation.instances
            if self.ec2.tags.get(instance.id, {}).get("aws:autoscaling:groupName") == wanted
            and instance.state in ("pending", "running")
        ]

    def start(self):
        """Make the launch template and the first instances."""
        self._make_template()
        self.scale()

    def scale(self):
        """As many instances as desired: launch those missing, end those too many."""
        present = self.instances()
        wanted = self.group.scaling["desiredSize"]
        for instance in present[wanted:]:
            launch.terminate(self.ec2, instance)
        for index in range(len(present), wanted):
            self._launch(index)

    def replace(self):
        """New instances for old, after a new version."""
        self._make_template()
        for instance in self.instances():
            launch.terminate(self.ec2, instance)
        self.scale()

    def stop(self):
        """Everything of the group in EC2 goes."""
        for instance in self.instances():
            launch.terminate(self.ec2, instance)
        self._drop_template()

    def _drop_template(self):
        if self.template and self.template.id in self.ec2.launch_templates:
            self.ec2.delete_launch_template(self.template.name, None)
            self.ec2.tags.pop(self.template.id, None)
        self.template = None

    def _make_template(self):
        """The launch template of EKS: the user's with EKS's own settings on top."""
        group, ec2 = self.group, self.ec2
        self._drop_template()
        data = {}
        if group.launch_template:
            data = {
                name: copy.deepcopy(value)
                for name, value in template_version(ec2, group).data.items()
                if value is not None
            }
        image = ami_type_image(group.ami_type, group.version)
        if image and not data.get("ImageId"):
            data["ImageId"] = image.id(ec2.region_name)
        named = data.get("SecurityGroupIds") or any(
            nic.get("Groups") for nic in data.get("NetworkInterfaces", [])
        )
        if not named:
            data["SecurityGroupIds"] = [group.cluster.security_group_id]
        data["IamInstanceProfile"] = {"Name": group.profile.name}
        if not group.launch_template:
            data["BlockDeviceMappings"] = [
                {
                    "DeviceName": "/dev/xvda",
                    "Ebs": {"VolumeSize": group.disk_size, "DeleteOnTermination": True},
                }
            ]
            data["MetadataOptions"] = {"HttpPutResponseHopLimit": 2, "HttpTokens": "required"}
        self.template = ec2.create_launch_template(
            f"eks-{group.uuid}",
            "",
            data,
            {
                "launch-template": {
                    "eks:cluster-name": group.cluster_name,
                    "eks:nodegroup-name": group.name,
                }
            },
        )

    def _launch(self, index):
        """One instance, in the next subnet, of the first type that can be had."""
        group, spot = self.group, self.group.capacity_type == "SPOT"
        types = group.instance_types or [None if group.launch_template else "t3.medium"]
        subnet_id = group.subnet_ids[index % len(group.subnet_ids)]
        for instance_type in types:
            asked = {
                "LaunchTemplate": {"LaunchTemplateId": self.template.id, "Version": "$Latest"},
                "SubnetId": subnet_id,
                "InstanceType": instance_type,
                "TagSpecifications": [{"ResourceType": "instance", "Tags": self._tags()}],
            }
            try:
                launch.launch(launch.Plan(self.ec2, asked, spot), 1)
                return
            except EC2ClientError as error:
                self.shortage = {
                    "code": "AsgInstanceLaunchFailures",
                    "message": f"Could not launch {'Spot' if spot else 'On-Demand'} Instances. "
                    f"{error.code} - {error.message}",
                    "resourceIds": [self.group_name],
                }

    def _tags(self):
        group = self.group
        tags = {
            "eks:cluster-name": group.cluster_name,
            "eks:nodegroup-name": group.name,
            f"kubernetes.io/cluster/{group.cluster_name}": "owned",
            "k8s.io/cluster-autoscaler/enabled": "true",
            f"k8s.io/cluster-autoscaler/{group.cluster_name}": "owned",
            "aws:autoscaling:groupName": self.group_name,
            "aws:eks:cluster-name": group.cluster_name,
        }
        return [{"Key": key, "Value": value} for key, value in tags.items()]
