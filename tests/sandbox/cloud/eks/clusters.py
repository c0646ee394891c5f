"""Clusters: create, describe, list, delete, with what a control plane leaves in the VPC."""

import base64
import functools
import random

from .. import identity, kubernetes, trust
from ..clock import after
from ..ec2 import interfaces
from ..iam import ensure_service_linked_role
from ..logs import control_plane
from ..weather import WEATHER
from . import access, plane, versions
from .errors import bad_parameter, bad_request, in_use, not_found
from .service import operation
from .store import new_hex, now, page
from .vpc import check_cluster_subnets, check_security_groups, default_service_cidr, ec2_of

LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")
_GROUP_DESCRIPTION = (
    "EKS created security group applied to ENI that is attached to EKS Control Plane master nodes, "
    "as well as any managed workloads."
)


class Cluster:
    """A control plane and everything that hangs off it."""

    def __init__(self, backend, asked, vpc_id):
        self.backend = backend
        self.name = asked["name"]
        self.words = f"cluster {self.name}"
        self.arn = backend.arn(f"cluster/{self.name}")
        self.created_at = self.modified_at = now()
        self.status = "CREATING"
        self.version = asked.get("version", versions.DEFAULT_VERSION)
        self.role_arn = asked["roleArn"]
        self.vpc_id = vpc_id
        network = asked["resourcesVpcConfig"]
        self.subnet_ids = list(network["subnetIds"])
        self.security_group_ids = list(network.get("securityGroupIds", []))
        self.endpoint_access = {
            "endpointPublicAccess": network.get("endpointPublicAccess", True),
            "endpointPrivateAccess": network.get("endpointPrivateAccess", False),
            "publicAccessCidrs": network.get("publicAccessCidrs", ["0.0.0.0/0"]),
        }
        self.egress_mode = network.get("controlPlaneEgressMode", "AWS_MANAGED")
        self.kubernetes_network = _kubernetes_network(backend, asked, vpc_id)
        self.log_types = enabled_log_types(asked.get("logging"))
        self.access_config = {
            "authenticationMode": asked.get("accessConfig", {}).get(
                "authenticationMode", "CONFIG_MAP"
            )
        }
        self.upgrade_policy = {"supportType": "EXTENDED", **asked.get("upgradePolicy", {})}
        self.zonal_shift = {"enabled": False, **asked.get("zonalShiftConfig", {})}
        self.deletion_protection = asked.get("deletionProtection", False)
        self.scaling = {"tier": "standard", **asked.get("controlPlaneScalingConfig", {})}
        self.encryption_config = asked.get("encryptionConfig")
        self.auto_mode = {
            name: asked[name] for name in ("computeConfig", "storageConfig") if name in asked
        }
        self.self_managed_addons = asked.get("bootstrapSelfManagedAddons", True)
        self.tags = dict(asked.get("tags", {}))
        identifier = new_hex(32)
        region = backend.region_name
        self.dns_name = f"{identifier}.gr7.{region}.eks.amazonaws.com"
        self.endpoint = f"https://{self.dns_name}"
        self.issuer = f"https://oidc.eks.{region}.amazonaws.com/id/{identifier}"
        self.authority_data = None
        # Where Kubernetes is on: the control plane, and whether the time to be active has come.
        self.plane = None
        self.is_due = False
        # The caller who is admin where access is not by the API.
        self.creator_arn = None
        self.security_group_id = None
        self.interfaces = []
        self.access_entries = {}
        self.nodegroups = {}
        self.addons = {}
        self.associations = {}
        self.updates = {}

    def nodegroup(self, name):
        """The node group of this name, or the error that EKS has for a missing one."""
        if name not in self.nodegroups:
            raise not_found(
                f"No node group found for name: {name}.",
                clusterName=self.name,
                nodegroupName=name,
            )
        return self.nodegroups[name]

    def addon(self, name):
        """The add-on of this name, or the error that EKS has for a missing one."""
        if name not in self.addons:
            raise not_found(
                f"No addon: {name} found in cluster: {self.name}",
                clusterName=self.name,
                addonName=name,
            )
        return self.addons[name]

    @property
    def has_nodes(self):
        """Whether anything can run: an active node group with at least one node."""
        return any(
            group.status in ("ACTIVE", "UPDATING") and group.instance_ids
            for group in self.nodegroups.values()
        )

    def describe(self):
        """The cluster as the API shows it. What a control plane has comes with the control plane."""
        there = self.status not in ("CREATING", "PENDING", "FAILED")
        return {
            "name": self.name,
            "arn": self.arn,
            "createdAt": self.created_at,
            "version": self.version,
            "endpoint": self.endpoint if there else None,
            "roleArn": self.role_arn,
            "resourcesVpcConfig": {
                "subnetIds": self.subnet_ids,
                "securityGroupIds": self.security_group_ids,
                "clusterSecurityGroupId": self.security_group_id if there else None,
                "vpcId": self.vpc_id,
                **self.endpoint_access,
                "controlPlaneEgressMode": self.egress_mode,
            },
            "kubernetesNetworkConfig": self.kubernetes_network,
            "logging": _describe_logging(self.log_types),
            "identity": {"oidc": {"issuer": self.issuer}} if there else None,
            "status": self.status,
            "certificateAuthority": {"data": self.authority_data or authority()} if there else {},
            "platformVersion": "eks.10",
            "tags": self.tags,
            "encryptionConfig": self.encryption_config,
            "health": {"issues": []},
            "accessConfig": self.access_config,
            "upgradePolicy": self.upgrade_policy,
            "zonalShiftConfig": self.zonal_shift,
            "deletionProtection": self.deletion_protection,
            "controlPlaneScalingConfig": self.scaling,
            **self.auto_mode,
        }


@operation("CreateCluster")
def create_cluster(backend, asked, caller):
    """A new cluster, after the checks of EKS; ACTIVE once its time has come."""

    def make():
        if asked["name"] in backend.clusters:
            raise in_use(
                f"Cluster already exists with name: {asked['name']}", clusterName=asked["name"]
            )
        vpc_id = _check(backend, asked)
        ensure_service_linked_role(backend.account_id, backend.partition, "eks.amazonaws.com")
        cluster = Cluster(backend, asked, vpc_id)
        backend.clusters[cluster.name] = cluster
        _make_network(backend, cluster)
        mode = cluster.access_config["authenticationMode"]
        wanted = asked.get("accessConfig", {}).get("bootstrapClusterCreatorAdminPermissions", True)
        if wanted and mode != "CONFIG_MAP":
            access.add_admin(backend, cluster, caller.principal_arn)
        if wanted:
            cluster.creator_arn = caller.principal_arn
        if kubernetes.is_on():
            plane.start(backend, cluster, lambda: _become_active(backend, cluster))
        after(WEATHER.now.to_be_ready("cluster"), lambda: _become_active(backend, cluster))
        return lambda: _while_there(backend, cluster)

    return backend.once("CreateCluster", asked, make)


@operation("DescribeCluster")
def describe_cluster(backend, asked, caller):
    """One cluster."""
    return {"cluster": backend.cluster(asked["name"]).describe()}


@operation("ListClusters")
def list_clusters(backend, asked, caller):
    """The names of all clusters."""
    return page(backend.clusters, asked, "clusters")


@operation("DeleteCluster")
def delete_cluster(backend, asked, caller):
    """The control plane goes, and with it what it had in the VPC."""
    cluster = backend.cluster(asked["name"])
    if cluster.deletion_protection:
        raise bad_request(
            f"Cannot delete cluster {cluster.name} because deletion protection is enabled. "
            "Disable deletion protection before you delete the cluster.",
            clusterName=cluster.name,
        )
    if cluster.nodegroups:
        raise in_use(
            "Cluster has nodegroups attached",
            clusterName=cluster.name,
            nodegroupName=",".join(cluster.nodegroups),
        )
    if cluster.status in ("CREATING", "UPDATING"):
        raise in_use(
            f"Cannot delete because cluster {cluster.name} currently has an update in progress",
            clusterName=cluster.name,
        )
    if cluster.status != "DELETING":
        cluster.status = "DELETING"
        plane.stop(cluster)
        control_plane.expect_late_writes(backend, cluster)
        after(WEATHER.now.to_be_gone("cluster"), lambda: _be_gone(backend, cluster))
    return {"cluster": cluster.describe()}


def _check(backend, asked):
    """What EKS refuses a new cluster for. Returns the VPC of its subnets."""
    version = asked.get("version", versions.DEFAULT_VERSION)
    versions.check_offered(version)
    support = asked.get("upgradePolicy", {}).get("supportType")
    if support == "STANDARD" and versions.in_extended_support(version):
        raise bad_parameter(
            f"Kubernetes version {version} is in extended support; a cluster with upgrade policy "
            "STANDARD can't be created with it."
        )
    _check_role(asked["roleArn"])
    network = asked["resourcesVpcConfig"]
    ec2 = ec2_of(backend)
    vpc_id = check_cluster_subnets(ec2, network.get("subnetIds", []), asked["name"])
    check_security_groups(ec2, network.get("securityGroupIds", []), vpc_id)
    check_endpoint_access(network)
    for encryption in asked.get("encryptionConfig", []):
        if encryption.get("resources") != ["secrets"]:
            raise bad_parameter("The resources of an encryptionConfig must be [secrets].")
    return vpc_id


def _check_role(arn):
    """A role that EKS believes in, that trusts EKS, and that has its policy."""
    role = identity.find_role(arn)
    if role is None or not trust.is_believed(role):
        raise bad_parameter(f"Role with arn: {arn}, could not be assumed because it does not exist")
    if not trust.trusts(role, "eks.amazonaws.com"):
        raise bad_parameter("Role could not be assumed because the trusted entity is not correct")
    if "AmazonEKSClusterPolicy" not in trust.believed_policies(role):
        raise bad_parameter(
            "The provided role doesn't have the Amazon EKS Managed Policies associated with it. "
            "Please ensure the following policies [arn:aws:iam::aws:policy/AmazonEKSClusterPolicy] "
            "are attached"
        )


def check_endpoint_access(network):
    """Somebody must be able to reach the API server, and only from networks."""
    public = network.get("endpointPublicAccess", True)
    if not public and not network.get("endpointPrivateAccess", False):
        raise bad_parameter("Private and public endpoint access cannot be false")
    import ipaddress

    for cidr in network.get("publicAccessCidrs", []):
        try:
            ipaddress.ip_network(cidr)
        except ValueError:
            raise bad_parameter(
                f"The following CIDRs are invalid in publicAccessCidrs: [{cidr}]"
            ) from None


def _kubernetes_network(backend, asked, vpc_id):
    wanted = asked.get("kubernetesNetworkConfig", {})
    vpc = ec2_of(backend).vpcs[vpc_id]
    network = {
        "ipFamily": wanted.get("ipFamily", "ipv4"),
        "elasticLoadBalancing": {"enabled": False, **wanted.get("elasticLoadBalancing", {})},
    }
    if network["ipFamily"] == "ipv4":
        network["serviceIpv4Cidr"] = wanted.get("serviceIpv4Cidr") or default_service_cidr(vpc)
    else:
        network["serviceIpv6Cidr"] = "fd00:10:100::/108"
    return network


def enabled_log_types(logging):
    """The log types that a `logging` member switches on."""
    enabled = set()
    for setup in (logging or {}).get("clusterLogging", []):
        if setup.get("enabled"):
            enabled.update(setup.get("types", []))
    unknown = enabled - set(LOG_TYPES)
    if unknown:
        raise bad_parameter(f"Invalid log type {sorted(unknown)[0]}")
    return enabled


def _describe_logging(enabled):
    setups = []
    on = [name for name in LOG_TYPES if name in enabled]
    off = [name for name in LOG_TYPES if name not in enabled]
    if on:
        setups.append({"types": on, "enabled": True})
    if off:
        setups.append({"types": off, "enabled": False})
    return {"clusterLogging": setups}


def _make_network(backend, cluster):
    """The cluster security group, and an interface of the control plane per zone."""
    ec2 = ec2_of(backend)
    name = f"eks-cluster-sg-{cluster.name}-{random.randrange(10**8, 10**10)}"
    group = ec2.create_security_group(
        name,
        _GROUP_DESCRIPTION,
        vpc_id=cluster.vpc_id,
        tags={
            "Name": name,
            f"kubernetes.io/cluster/{cluster.name}": "owned",
            "aws:eks:cluster-name": cluster.name,
        },
    )
    ec2.authorize_security_group_ingress(
        group.id, "-1", None, None, [], source_groups=[{"GroupId": group.id}], vpc_id=cluster.vpc_id
    )
    cluster.security_group_id = group.id
    make_interfaces(backend, cluster)


def make_interfaces(backend, cluster):
    """Put the control plane's interfaces into its subnets; those that it had before go."""
    ec2 = ec2_of(backend)
    old, cluster.interfaces = cluster.interfaces, []
    zones = set()
    for subnet_id in cluster.subnet_ids:
        subnet = ec2.get_subnet(subnet_id)
        if subnet.availability_zone in zones:
            continue
        zones.add(subnet.availability_zone)
        groups = [cluster.security_group_id, *cluster.security_group_ids]
        eni = interfaces.create(
            ec2, subnet, f"Amazon EKS {cluster.name}", f"cluster {cluster.name}", groups
        )
        cluster.interfaces.append(eni)
    for eni in old:
        interfaces.remove(ec2, eni)


def _become_active(backend, cluster):
    cluster.is_due = True
    if cluster.plane is not None and not cluster.plane.is_ready.is_set():
        return  # It becomes active once its API server answers.
    cluster.status = "ACTIVE"
    if cluster.log_types:
        control_plane.write(backend, cluster.name)


def _be_gone(backend, cluster):
    """Everything of a cluster goes, but for a security group that something still uses."""
    from moto.ec2.exceptions import EC2ClientError

    ec2 = ec2_of(backend)
    for eni in cluster.interfaces:
        interfaces.remove(ec2, eni)
    try:
        ec2.delete_security_group(group_id=cluster.security_group_id)
    except EC2ClientError:
        pass  # Left behind, as EKS leaves it behind.
    except Exception as error:  # it may have been deleted by hand
        if "NotFound" not in type(error).__name__:
            raise
    backend.clusters.pop(cluster.name, None)
    control_plane.after_deletion(backend, cluster)


def _while_there(backend, cluster):
    if backend.clusters.get(cluster.name) is cluster:
        return {"cluster": cluster.describe()}
    return None


@functools.cache
def authority():
    """A certificate authority as base64 of PEM: a real one, so that clients can read it."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    start = datetime.datetime(2026, 1, 1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return base64.b64encode(certificate.public_bytes(serialization.Encoding.PEM)).decode()
