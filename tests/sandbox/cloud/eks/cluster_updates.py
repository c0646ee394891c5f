"""Changing a cluster: its version one minor at a time, its settings one kind per call."""

from ..logs import control_plane
from . import plane, updates, versions
from .clusters import check_endpoint_access, enabled_log_types, make_interfaces
from .errors import bad_parameter, bad_request
from .service import operation
from .vpc import check_cluster_subnets, check_security_groups, ec2_of

_MODES = ("CONFIG_MAP", "API_AND_CONFIG_MAP", "API")


def _ready(cluster, wanted):
    """Raise the error of EKS unless the cluster can be changed now."""
    updates.refuse_while_updating(cluster, wanted)
    if cluster.status != "ACTIVE":
        raise bad_request(
            f"Cluster '{cluster.name}' is not in ACTIVE status", clusterName=cluster.name
        )


@operation("UpdateClusterVersion")
def update_cluster_version(backend, asked, caller):
    """The next minor version, once all node groups have the present one."""
    cluster = backend.cluster(asked["name"])

    def make():
        _ready(cluster, "update version")
        wanted = asked["version"]
        versions.check_offered(wanted)
        if wanted == cluster.version:
            raise bad_parameter(f"Cluster is already at version {wanted}", clusterName=cluster.name)
        if versions.minor(wanted) != versions.minor(cluster.version) + 1:
            raise bad_parameter(
                f"Unsupported Kubernetes minor version update from {cluster.version} to {wanted}",
                clusterName=cluster.name,
            )
        behind = [g.name for g in cluster.nodegroups.values() if g.version != cluster.version]
        if behind:
            raise bad_request(
                f"Nodegroups {behind[0]} must be updated to match cluster version "
                f"{cluster.version} before updating cluster version",
                clusterName=cluster.name,
            )
        params = {"Version": wanted, "PlatformVersion": "eks.10"}
        return updates.start(
            cluster, "VersionUpdate", params, lambda: setattr(cluster, "version", wanted)
        )

    return backend.once("UpdateClusterVersion", asked, make)


@operation("UpdateClusterConfig")
def update_cluster_config(backend, asked, caller):
    """One kind of setting."""
    cluster = backend.cluster(asked["name"])

    def make():
        _ready(cluster, "update config")
        kinds = [kind for kind in _KINDS if kind[0](asked)]
        if not kinds:
            raise bad_parameter("No changes needed: the request names no setting")
        if len(kinds) > 1:
            raise bad_parameter("Only one type of update can be allowed.", clusterName=cluster.name)
        _, update_type, plan = kinds[0]
        params, change = plan(backend, cluster, asked)
        return updates.start(cluster, update_type, params, change)

    return backend.once("UpdateClusterConfig", asked, make)


@operation("AssociateEncryptionConfig")
def associate_encryption_config(backend, asked, caller):
    """Encrypt secrets from now on; never to be taken back."""
    cluster = backend.cluster(asked["clusterName"])

    def make():
        _ready(cluster, "associate encryption config")
        if cluster.encryption_config:
            raise bad_parameter("Encryption is already enabled on the cluster")
        config = asked["encryptionConfig"]
        return updates.start(
            cluster,
            "AssociateEncryptionConfig",
            {"EncryptionConfig": config},
            lambda: setattr(cluster, "encryption_config", config),
        )

    return backend.once("AssociateEncryptionConfig", asked, make)


def _endpoint_access(backend, cluster, asked):
    network = asked["resourcesVpcConfig"]
    wanted = {name: network.get(name, value) for name, value in cluster.endpoint_access.items()}
    check_endpoint_access(wanted)
    if wanted == cluster.endpoint_access:
        raise bad_parameter(
            "Cluster is already at the desired configuration with endpointPrivateAccess: "
            f"{str(wanted['endpointPrivateAccess']).lower()} , endpointPublicAccess: "
            f"{str(wanted['endpointPublicAccess']).lower()}, and Public Endpoint Restrictions: "
            f"[{', '.join(wanted['publicAccessCidrs'])}]",
            clusterName=cluster.name,
        )
    params = {
        "EndpointPublicAccess": str(wanted["endpointPublicAccess"]).lower(),
        "EndpointPrivateAccess": str(wanted["endpointPrivateAccess"]).lower(),
        "PublicAccessCidrs": wanted["publicAccessCidrs"],
    }
    return params, lambda: _open_and_close(cluster, wanted)


def _open_and_close(cluster, wanted):
    cluster.endpoint_access = wanted
    plane.open_and_close(cluster)


def _vpc_config(backend, cluster, asked):
    network = asked["resourcesVpcConfig"]
    ec2 = ec2_of(backend)
    subnet_ids = network.get("subnetIds", cluster.subnet_ids)
    group_ids = network.get("securityGroupIds", cluster.security_group_ids)
    if subnet_ids == cluster.subnet_ids and group_ids == cluster.security_group_ids:
        raise bad_parameter("Cluster is already at the desired VPC configuration")
    if check_cluster_subnets(ec2, subnet_ids, cluster.name) != cluster.vpc_id:
        raise bad_parameter("Provided subnets belong to a different VPC than the cluster's subnets")
    zones = {ec2.get_subnet(name).availability_zone for name in cluster.subnet_ids}
    if {ec2.get_subnet(name).availability_zone for name in subnet_ids} != zones:
        raise bad_parameter("Provided subnets belong to the wrong set of Availability Zones")
    check_security_groups(ec2, group_ids, cluster.vpc_id)

    def change():
        cluster.subnet_ids, cluster.security_group_ids = list(subnet_ids), list(group_ids)
        make_interfaces(backend, cluster)

    return {"Subnets": subnet_ids, "SecurityGroups": group_ids}, change


def _logging(backend, cluster, asked):
    types = set(cluster.log_types)
    for setup in asked["logging"].get("clusterLogging", []):
        if setup.get("enabled"):
            types |= enabled_log_types({"clusterLogging": [setup]})
        else:
            types -= set(setup.get("types", []))
    if types == cluster.log_types:
        raise bad_parameter("No changes needed for the logging config provided")

    def change():
        cluster.log_types = types
        if types:
            control_plane.write(backend, cluster.name)

    return {"ClusterLogging": asked["logging"]}, change


def _access_config(backend, cluster, asked):
    wanted = asked["accessConfig"].get("authenticationMode")
    present = cluster.access_config["authenticationMode"]
    if wanted not in _MODES or _MODES.index(wanted) <= _MODES.index(present):
        raise bad_parameter(
            f"Unsupported authentication mode update from {present} to {wanted}",
            clusterName=cluster.name,
        )
    return {"AuthenticationMode": wanted}, lambda: cluster.access_config.update(
        authenticationMode=wanted
    )


def _upgrade_policy(backend, cluster, asked):
    wanted = asked["upgradePolicy"]
    if wanted == cluster.upgrade_policy:
        raise bad_parameter("No changes needed for the upgrade policy provided")
    if wanted.get("supportType") == "STANDARD" and versions.in_extended_support(cluster.version):
        raise bad_parameter(
            f"Cannot change the upgrade policy to STANDARD because version {cluster.version} is in "
            "extended support",
            clusterName=cluster.name,
        )
    return {"UpgradePolicy": wanted}, lambda: setattr(cluster, "upgrade_policy", wanted)


def _simple(member, attribute, parameter):
    """A kind of update that only replaces one setting."""

    def plan(backend, cluster, asked):
        wanted = asked[member]
        if wanted == getattr(cluster, attribute):
            raise bad_parameter(f"No changes needed for the {member} provided")
        return {parameter: wanted}, lambda: setattr(cluster, attribute, wanted)

    return plan


def _network_has(*names):
    return lambda asked: any(name in asked.get("resourcesVpcConfig", {}) for name in names)


def _has(name):
    return lambda asked: name in asked


# (whether a request is of this kind, its name, what it changes)
_KINDS = (
    (
        _network_has("endpointPublicAccess", "endpointPrivateAccess", "publicAccessCidrs"),
        "EndpointAccessUpdate",
        _endpoint_access,
    ),
    (_network_has("subnetIds", "securityGroupIds"), "VpcConfigUpdate", _vpc_config),
    (_has("logging"), "LoggingUpdate", _logging),
    (_has("accessConfig"), "AccessConfigUpdate", _access_config),
    (_has("upgradePolicy"), "UpgradePolicyUpdate", _upgrade_policy),
    (
        _has("zonalShiftConfig"),
        "ZonalShiftConfigUpdate",
        _simple("zonalShiftConfig", "zonal_shift", "ZonalShiftConfig"),
    ),
    (
        _has("deletionProtection"),
        "DeletionProtectionUpdate",
        _simple("deletionProtection", "deletion_protection", "DeletionProtection"),
    ),
    (
        _has("controlPlaneScalingConfig"),
        "ControlPlaneScalingConfigUpdate",
        _simple("controlPlaneScalingConfig", "scaling", "UpdatedTier"),
    ),
)
