"""The images that are there: those of EKS and the plain Amazon Linux ones, the same in every region.

Their ids are made from their names, so that a parameter of SSM and DescribeImages agree.
"""

import datetime
import functools
import hashlib

from moto.ec2.models import EC2Backend
from moto.ec2.models.amis import Ami, AmiBackend

from ..mend import mend

KUBERNETES_VERSIONS = ("1.31", "1.32", "1.33", "1.34", "1.35", "1.36")
RELEASE = "20261102"
BOTTLEROCKET_RELEASE = "1.52.0"
_MADE = datetime.datetime(2026, 11, 2, 8, 0, 0)


class Image:
    """One image, and the SSM parameter that names it."""

    def __init__(self, parameter, name, architecture, root_device, root_gib, description):
        self.parameter = parameter
        self.name = name
        self.architecture = architecture
        self.root_device = root_device
        self.root_gib = root_gib
        self.description = description

    def id(self, region):
        """The image's id in a region."""
        return "ami-" + hashlib.sha256(f"{region}/{self.name}".encode()).hexdigest()[:17]


@functools.cache
def catalogue():
    """Every image."""
    return tuple([*_amazon_linux_for_eks(), *_bottlerocket(), *_amazon_linux()])


def _amazon_linux_for_eks():
    for version in KUBERNETES_VERSIONS:
        for architecture in ("x86_64", "arm64"):
            variants = ["standard", "nvidia"] + (["neuron"] if architecture == "x86_64" else [])
            for variant in variants:
                yield Image(
                    f"/aws/service/eks/optimized-ami/{version}/amazon-linux-2023/{architecture}/"
                    f"{variant}/recommended/image_id",
                    f"amazon-eks-node-al2023-{architecture}-{variant}-{version}-v{RELEASE}",
                    architecture,
                    "/dev/xvda",
                    20,
                    f"EKS-optimized Kubernetes node based on Amazon Linux 2023 (k8s: {version})",
                )


def _bottlerocket():
    for version in KUBERNETES_VERSIONS:
        for architecture in ("x86_64", "arm64"):
            for variant in ("", "-nvidia"):
                yield Image(
                    f"/aws/service/bottlerocket/aws-k8s-{version}{variant}/{architecture}/latest/"
                    "image_id",
                    f"bottlerocket-aws-k8s-{version}{variant}-{architecture}-"
                    f"v{BOTTLEROCKET_RELEASE}-a1b2c3d4",
                    architecture,
                    "/dev/xvda",
                    2,
                    f"bottlerocket-aws-k8s-{version}{variant} {architecture}",
                )


def _amazon_linux():
    for architecture in ("x86_64", "arm64"):
        for variant, flavour in (("", ""), ("minimal-", "-minimal")):
            yield Image(
                f"/aws/service/ami-amazon-linux-latest/al2023-ami-{variant}kernel-default-"
                f"{architecture}",
                f"al2023-ami{flavour}-2023.9.{RELEASE}.0-kernel-6.12-{architecture}",
                architecture,
                "/dev/xvda",
                8,
                f"Amazon Linux 2023 AMI 2023.9.{RELEASE}.0 {architecture} HVM kernel-6.12",
            )


class CatalogueImage(Ami):
    """An image of the catalogue. Its snapshot belongs to Amazon, so none is made in the account."""

    def __init__(self, ec2, image):
        self.ec2_backend = ec2
        self.id = image.id(ec2.region_name)
        self.state = "available"
        self.name = image.name
        self.image_type = "machine"
        self.owner_id = "137112412989" if image.name.startswith("al2023") else "602401143452"
        self.owner_alias = "amazon"
        self.image_location = f"amazon/{image.name}"
        self.description = image.description
        self.virtualization_type = "hvm"
        self.architecture = image.architecture
        self.kernel_id = None
        self.platform = None
        self.hypervisor = "xen"
        self.root_device_name = image.root_device
        self.root_device_type = "ebs"
        self.sriov = "simple"
        self.creation_date = _MADE
        self.product_codes = set()
        self.boot_mode = "uefi-preferred"
        self.instance_id = None
        self.launch_permissions = [{"Group": "all"}]
        self.root_gib = image.root_gib

    @property
    def block_device_mappings(self):
        snapshot = "snap-" + self.id.removeprefix("ami-")
        return [
            {
                "DeviceName": self.root_device_name,
                "Ebs": {
                    "SnapshotId": snapshot,
                    "VolumeSize": self.root_gib,
                    "DeleteOnTermination": True,
                    "VolumeType": "gp3",
                    "Encrypted": False,
                },
            }
        ]


# Images that a user makes have moto's 15 GiB.
Ami.root_gib = 15


@mend(AmiBackend, "_load_amis")
def _load_amis(original, self):
    """The catalogue instead of moto's thousands."""
    for image in catalogue():
        made = CatalogueImage(self, image)
        self.amis[made.id] = made


@mend(EC2Backend, "describe_images")
def describe_images(original, self, ami_ids=None, filters=None, exec_users=None, owners=None):
    """Filters hold together with ids too, where moto looks at the ids alone."""
    found = original(self, ami_ids=ami_ids, filters=filters, exec_users=exec_users, owners=owners)
    if ami_ids and filters:
        from moto.ec2.utils import generic_filter

        found = generic_filter(filters, found)
    return found
