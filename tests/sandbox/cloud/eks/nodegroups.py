"""Managed node groups: instances of EC2 that come and go with the group."""

from moto.iam.models import iam_backends

from .. import identity, trust
from ..clock import after
from ..iam import ensure_service_linked_role
from ..weather import WEATHER
from . import access, updates, versions
from .errors import bad_parameter, bad_request, in_use
from .node_instances import Nodes, ami_type_image, check_template, template_version
from .service import operation
from .store import new_uuid, now, page
from .vpc import ec2_of, find_subnets

_NO_CNI = {
    "code": "NodeCreationFailure",
    "message": "Unhealthy nodes in the kubernetes cluster",
    "resourceIds": [],
}


class Nodegroup:
    """One managed node group."""

    def __init__(self, backend, cluster, asked):
        self.backend = backend
        self.cluster = cluster
        self.cluster_name = cluster.name
        self.name = asked["nodegroupName"]
        self.words = f"nodegroup {self.name}"
        self.uuid = new_uuid()
        self.arn = backend.arn(f"nodegroup/{cluster.name}/{self.name}/{self.uuid}")
        self.created_at = self.modified_at = now()
        self.status = "CREATING"
        self.issues = []
        self.updates = {}
        self.version = asked.get("version", cluster.version)
        self.release_version = asked.get("releaseVersion") or release_of(self.version)
        self.scaling = scaling_of(asked.get("scalingConfig"))
        self.instance_types = asked.get("instanceTypes")
        self.subnet_ids = list(asked["subnets"])
        self.role_arn = asked["nodeRole"]
        self.labels = dict(asked.get("labels", {}))
        self.taints = [dict(taint) for taint in asked.get("taints", [])]
        self.tags = dict(asked.get("tags", {}))
        self.update_config = asked.get("updateConfig") or {"maxUnavailable": 1}
        self.node_repair = asked.get("nodeRepairConfig")
        self.capacity_type = asked.get("capacityType", "ON_DEMAND")
        self.remote_access = asked.get("remoteAccess")
        self.launch_template = dict(asked["launchTemplate"]) if "launchTemplate" in asked else None
        self.ami_type = asked.get("amiType") or _default_ami_type(self)
        self.disk_size = None if self.launch_template else asked.get("diskSize", 20)
        self.nodes = Nodes(self)

    @property
    def instance_ids(self):
        """Ids of the instances that the group has now."""
        return self.nodes.ids()

    def describe(self):
        """The node group as the API shows it."""
        return {
            "nodegroupName": self.name,
            "nodegroupArn": self.arn,
            "clusterName": self.cluster_name,
            "version": self.version,
            "releaseVersion": self.release_version,
            "createdAt": self.created_at,
            "modifiedAt": self.modified_at,
            "status": self.status,
            "capacityType": self.capacity_type,
            "scalingConfig": self.scaling,
            "instanceTypes": self.instance_types
            or (None if self.launch_template else ["t3.medium"]),
            "subnets": self.subnet_ids,
            "remoteAccess": self.remote_access,
            "amiType": self.ami_type,
            "nodeRole": self.role_arn,
            "labels": self.labels,
            "taints": self.taints or None,
            "resources": {"autoScalingGroups": [{"name": self.nodes.group_name}]}
            if self.status != "CREATING"
            else None,
            "diskSize": self.disk_size,
            "health": {"issues": self.issues},
            "updateConfig": self.update_config,
            "nodeRepairConfig": self.node_repair,
            "launchTemplate": self.launch_template,
            "tags": self.tags,
        }


@operation("CreateNodegroup")
def create_nodegroup(backend, asked, caller):
    """A new group; its instances start at once, it is ACTIVE once its time has come."""
    cluster = backend.cluster(asked["clusterName"])

    def make():
        _check(backend, cluster, asked)
        ensure_service_linked_role(
            backend.account_id, backend.partition, "eks-nodegroup.amazonaws.com"
        )
        group = Nodegroup(backend, cluster, asked)
        check_template(ec2_of(backend), group, asked)
        cluster.nodegroups[group.name] = group
        if cluster.access_config["authenticationMode"] != "CONFIG_MAP":
            if group.role_arn not in cluster.access_entries:
                access.add_entry(backend, cluster, group.role_arn, access.EC2_LINUX)
        _make_profile(backend, group)
        group.nodes.start()
        after(WEATHER.now.to_be_ready("nodegroup"), lambda: _settle(group))
        return lambda: (
            {"nodegroup": group.describe()} if cluster.nodegroups.get(group.name) is group else None
        )

    return backend.once("CreateNodegroup", asked, make)


@operation("DescribeNodegroup")
def describe_nodegroup(backend, asked, caller):
    """One node group."""
    cluster = backend.cluster(asked["clusterName"])
    return {"nodegroup": cluster.nodegroup(asked["nodegroupName"]).describe()}


@operation("ListNodegroups")
def list_nodegroups(backend, asked, caller):
    """The names of a cluster's node groups."""
    return page(backend.cluster(asked["clusterName"]).nodegroups, asked, "nodegroups")


@operation("DeleteNodegroup")
def delete_nodegroup(backend, asked, caller):
    """The group goes, and its instances before it."""
    cluster = backend.cluster(asked["clusterName"])
    group = cluster.nodegroup(asked["nodegroupName"])
    updates.refuse_while_updating(group, "delete nodegroup")
    if group.status != "DELETING":
        group.status = "DELETING"
        after(WEATHER.now.to_be_gone("nodegroup"), lambda: _be_gone(backend, group))
    return {"nodegroup": group.describe()}


def release_of(version):
    """The release of the node image for a Kubernetes version."""
    from ..ec2.images import RELEASE

    return f"{versions.patch_of(version)}-{RELEASE}"


def scaling_of(wanted):
    """Sizes as given, with EKS's defaults, if they make sense."""
    sizes = {"minSize": 1, "maxSize": 2, "desiredSize": 2, **(wanted or {})}
    if wanted and "desiredSize" not in wanted:
        sizes["desiredSize"] = max(sizes["minSize"], min(2, sizes["maxSize"]))
    if sizes["maxSize"] < 1 or sizes["minSize"] < 0:
        raise bad_parameter("maxSize must be at least 1 and minSize at least 0")
    if sizes["minSize"] > sizes["desiredSize"]:
        raise bad_parameter(
            f"Minimum capacity {sizes['minSize']} can't be greater than desired size "
            f"{sizes['desiredSize']}"
        )
    if sizes["desiredSize"] > sizes["maxSize"]:
        raise bad_parameter(
            f"desired capacity {sizes['desiredSize']} can't be greater than max size "
            f"{sizes['maxSize']}"
        )
    return sizes


def _default_ami_type(group):
    """Amazon Linux 2023, of the architecture of the instance types."""
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    first = (group.instance_types or ["t3.medium"])[0]
    architectures = (
        INSTANCE_TYPES.get(first, {}).get("ProcessorInfo", {}).get("SupportedArchitectures", [])
    )
    if group.launch_template:
        if template_version(ec2_of(group.backend), group).data.get("ImageId"):
            return "CUSTOM"
    return "AL2023_ARM_64_STANDARD" if architectures == ["arm64"] else "AL2023_x86_64_STANDARD"


def _check(backend, cluster, asked):
    """What EKS refuses a node group for."""
    name = asked["nodegroupName"]
    fields = {"clusterName": cluster.name, "nodegroupName": name}
    if name in cluster.nodegroups:
        raise in_use(
            f"NodeGroup already exists with name {name} and cluster name {cluster.name}", **fields
        )
    if cluster.status not in ("ACTIVE", "UPDATING"):
        raise bad_request(f"Cluster '{cluster.name}' is not in ACTIVE status", **fields)
    version = asked.get("version", cluster.version)
    versions.check_offered(version)
    if versions.minor(version) > versions.minor(cluster.version):
        raise bad_parameter(
            f"Requested Nodegroup version {version} can't be newer than the cluster version "
            f"{cluster.version}",
            **fields,
        )
    _check_role(asked["nodeRole"], fields)
    for subnet in find_subnets(ec2_of(backend), asked["subnets"]):
        if subnet.vpc_id != cluster.vpc_id:
            raise bad_parameter(
                f"Subnet {subnet.id} is not in the VPC of the cluster, {cluster.vpc_id}", **fields
            )
    _check_taints(asked.get("taints", []), fields)
    update_config = asked.get("updateConfig", {})
    if "maxUnavailable" in update_config and "maxUnavailablePercentage" in update_config:
        raise bad_parameter(
            "Only one of maxUnavailable and maxUnavailablePercentage can be given", **fields
        )
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    for instance_type in asked.get("instanceTypes", []):
        if instance_type not in INSTANCE_TYPES:
            raise bad_parameter(
                f"The following supplied instance types do not exist: [{instance_type}]", **fields
            )
    if asked.get("amiType", "").startswith("AL2_") and versions.minor(version) >= 33:
        raise bad_parameter(
            f"AMI Type {asked['amiType']} is only supported for kubernetes versions 1.32 or earlier",
            **fields,
        )
    ami_type_image(asked.get("amiType"), version)


def _check_role(arn, fields):
    """A role that EKS believes in and that EC2 may assume."""
    role = identity.find_role(arn)
    if role is None or not trust.is_believed(role):
        name = arn.rsplit("/", 1)[-1]
        raise bad_parameter(
            f"The role with name {name} cannot be found: it does not exist (Service: "
            "AmazonIdentityManagement; Status Code: 404; Error Code: NoSuchEntity)",
            **fields,
        )
    if not trust.trusts(role, "ec2.amazonaws.com"):
        raise bad_parameter(
            "Following required service principals [ec2.amazonaws.com] were not found in the trust "
            f"relationships of nodeRole {arn}",
            **fields,
        )


def _check_taints(taints, fields):
    for taint in taints:
        if taint.get("effect") not in ("NO_SCHEDULE", "NO_EXECUTE", "PREFER_NO_SCHEDULE"):
            raise bad_parameter(f"Invalid taint effect {taint.get('effect')}", **fields)


def _make_profile(backend, group):
    """The instance profile that EKS makes for the nodes of a group."""
    iam = iam_backends[backend.account_id][backend.partition]
    role = identity.find_role(group.role_arn)
    profile = iam.create_instance_profile(f"eks-{group.uuid}", "/", [])
    profile.roles.append(role)
    profile.made_at = 0
    group.profile = profile


def _settle(group):
    """Creation is over: active, if the nodes could become ready."""
    if group.status != "CREATING":
        return
    cluster = group.cluster
    has_network = cluster.self_managed_addons or "vpc-cni" in cluster.addons
    role = identity.find_role(group.role_arn)
    may_join = role is not None and "AmazonEKSWorkerNodePolicy" in identity.attached_policy_names(
        role
    )
    entered = group.role_arn in cluster.access_entries
    if cluster.access_config["authenticationMode"] == "CONFIG_MAP":
        entered = True
    if group.nodes.shortage:
        group.status, group.issues = "CREATE_FAILED", [group.nodes.shortage]
    elif has_network and may_join and entered:
        group.status = "ACTIVE"
    else:
        group.status = "CREATE_FAILED"
        group.issues = [{**_NO_CNI, "resourceIds": group.instance_ids}]


def _be_gone(backend, group):
    """Instances, launch template, profile and access entry of a group go, then the group."""
    cluster = group.cluster
    group.nodes.stop()
    iam = iam_backends[backend.account_id][backend.partition]
    iam.instance_profiles.pop(group.profile.name, None)
    if cluster.nodegroups.get(group.name) is group:
        del cluster.nodegroups[group.name]
    others = {other.role_arn for other in cluster.nodegroups.values()}
    entry = cluster.access_entries.get(group.role_arn)
    if entry and entry.kind == access.EC2_LINUX and group.role_arn not in others:
        del cluster.access_entries[group.role_arn]
