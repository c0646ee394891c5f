"""Access entries and the access policies that hang on them."""

from .. import identity
from .errors import bad_parameter, bad_request, in_use, not_found
from .service import operation
from .store import new_uuid, now, page

STANDARD, EC2_LINUX = "STANDARD", "EC2_LINUX"
TYPES = (
    STANDARD,
    EC2_LINUX,
    "EC2_WINDOWS",
    "FARGATE_LINUX",
    "EC2",
    "HYBRID_LINUX",
    "HYPERPOD_LINUX",
)
_POLICIES = (
    "AmazonAIOpsAssistantPolicy",
    "AmazonARCRegionSwitchScalingPolicy",
    "AmazonEKSAdminPolicy",
    "AmazonEKSAdminViewPolicy",
    "AmazonEKSAutoNodePolicy",
    "AmazonEKSClusterAdminPolicy",
    "AmazonEKSEditPolicy",
    "AmazonEKSSecretReaderPolicy",
    "AmazonEKSViewPolicy",
)
ADMIN_POLICY = "AmazonEKSClusterAdminPolicy"


class AccessEntry:
    """What one IAM principal is inside a cluster."""

    def __init__(self, backend, cluster, principal_arn, kind, username, groups, tags):
        account = principal_arn.split(":")[4]
        self.principal_arn = principal_arn
        self.kind = kind
        self.username = username or _default_username(principal_arn, kind)
        self.groups = groups
        self.tags = tags
        who = principal_arn.split(":", 5)[5]
        sort, _, name = who.partition("/")
        self.arn = backend.arn(f"access-entry/{cluster.name}/{sort}/{account}/{name}/{new_uuid()}")
        self.cluster_name = cluster.name
        self.created_at = self.modified_at = now()
        # policy ARN -> (associated, modified, scope)
        self.policies = {}
        # An entry is about this very role: one made anew under the same name does not get in.
        role = identity.find_role(principal_arn)
        self.role_id = role.id if role else None

    def describe(self):
        """The entry as the API shows it."""
        return {
            "clusterName": self.cluster_name,
            "principalArn": self.principal_arn,
            "kubernetesGroups": self.groups,
            "accessEntryArn": self.arn,
            "createdAt": self.created_at,
            "modifiedAt": self.modified_at,
            "tags": self.tags,
            "username": self.username,
            "type": self.kind,
        }


def add_entry(backend, cluster, principal_arn, kind=STANDARD, username=None, groups=(), tags=None):
    """Make an entry without asking whether it may be made; what EKS itself does."""
    if kind in (EC2_LINUX, "HYBRID_LINUX"):
        groups = ["system:nodes"]
    elif kind == "EC2_WINDOWS":
        groups = ["eks:kube-proxy-windows", "system:nodes"]
    entry = AccessEntry(backend, cluster, principal_arn, kind, username, list(groups), tags or {})
    cluster.access_entries[principal_arn] = entry
    return entry


def add_admin(backend, cluster, principal_arn):
    """The entry of the principal that made the cluster."""
    entry = add_entry(backend, cluster, principal_arn)
    entry.policies[policy_arn(backend, ADMIN_POLICY)] = (
        now(),
        now(),
        {"type": "cluster", "namespaces": []},
    )


def policy_arn(backend, name):
    """The ARN of an access policy of EKS."""
    return f"arn:{backend.partition}:eks::aws:cluster-access-policy/{name}"


@operation("CreateAccessEntry")
def create_access_entry(backend, asked, caller):
    """A new entry, after the checks of EKS."""
    cluster = _cluster_with_api(backend, asked)
    principal = asked["principalArn"]
    kind = asked.get("type", STANDARD)
    groups = asked.get("kubernetesGroups", [])

    def make():
        _check_principal(backend, principal)
        _check_type(kind, groups, asked.get("username"))
        if principal in cluster.access_entries:
            raise in_use("The specified access entry resource is already in use on this cluster.")
        entry = add_entry(
            backend, cluster, principal, kind, asked.get("username"), groups, asked.get("tags")
        )
        return lambda: _while_there(cluster, entry)

    return backend.once("CreateAccessEntry", asked, make)


@operation("DescribeAccessEntry")
def describe_access_entry(backend, asked, caller):
    """One entry."""
    return {"accessEntry": _entry(backend, asked).describe()}


@operation("ListAccessEntries")
def list_access_entries(backend, asked, caller):
    """Principals of all entries, or of those with a policy."""
    cluster = _cluster_with_api(backend, asked)
    policy = asked.get("associatedPolicyArn")
    found = [
        entry.principal_arn
        for entry in cluster.access_entries.values()
        if policy is None or policy in entry.policies
    ]
    return page(found, asked, "accessEntries")


@operation("UpdateAccessEntry")
def update_access_entry(backend, asked, caller):
    """New groups or a new username for a STANDARD entry."""
    entry = _entry(backend, asked)
    groups = asked.get("kubernetesGroups", entry.groups)
    if "kubernetesGroups" in asked or "username" in asked:
        _check_type(entry.kind, groups, asked.get("username"))
    entry.groups = groups
    entry.username = asked.get("username", entry.username)
    entry.modified_at = now()
    return {"accessEntry": entry.describe()}


@operation("DeleteAccessEntry")
def delete_access_entry(backend, asked, caller):
    """The entry goes, with its policies."""
    entry = _entry(backend, asked)
    del backend.cluster(asked["clusterName"]).access_entries[entry.principal_arn]


@operation("ListAccessPolicies")
def list_access_policies(backend, asked, caller):
    """Every access policy that EKS has."""
    found = [{"name": name, "arn": policy_arn(backend, name)} for name in _POLICIES]
    return page(found, asked, "accessPolicies", key=lambda policy: policy["name"])


@operation("AssociateAccessPolicy")
def associate_access_policy(backend, asked, caller):
    """Give an entry a policy, or another scope for one that it has."""
    entry = _entry(backend, asked)
    arn, scope = asked["policyArn"], dict(asked["accessScope"])
    if arn not in {policy_arn(backend, name) for name in _POLICIES}:
        raise bad_parameter(f"The policyArn parameter value is not valid: {arn}")
    if entry.kind != STANDARD:
        raise bad_request(
            f"You cannot associate an access policy with an access entry of type {entry.kind}."
        )
    namespaces = scope.get("namespaces") or []
    if scope.get("type") == "namespace" and not namespaces:
        raise bad_parameter("The namespaces parameter can't be empty for scope type namespace.")
    if scope.get("type") not in ("cluster", "namespace"):
        raise bad_parameter("The accessScope type must be cluster or namespace.")
    if scope["type"] == "cluster" and namespaces:
        raise bad_parameter("Namespaces can't be given for scope type cluster.")
    associated = entry.policies.get(arn, (now(),))[0]
    entry.policies[arn] = (associated, now(), {"type": scope["type"], "namespaces": namespaces})
    return {
        "clusterName": entry.cluster_name,
        "principalArn": entry.principal_arn,
        "associatedAccessPolicy": _describe_policy(arn, entry.policies[arn]),
    }


@operation("DisassociateAccessPolicy")
def disassociate_access_policy(backend, asked, caller):
    """Take a policy from an entry."""
    entry = _entry(backend, asked)
    if entry.policies.pop(asked["policyArn"], None) is None:
        raise not_found("The specified access policy is not associated with the access entry.")


@operation("ListAssociatedAccessPolicies")
def list_associated_access_policies(backend, asked, caller):
    """The policies of an entry."""
    entry = _entry(backend, asked)
    found = [_describe_policy(arn, policy) for arn, policy in entry.policies.items()]
    answer = page(found, asked, "associatedAccessPolicies", key=lambda policy: policy["policyArn"])
    return {**answer, "clusterName": entry.cluster_name, "principalArn": entry.principal_arn}


def _describe_policy(arn, policy):
    associated, modified, scope = policy
    return {
        "policyArn": arn,
        "accessScope": scope,
        "associatedAt": associated,
        "modifiedAt": modified,
    }


def _cluster_with_api(backend, asked):
    """The cluster, if its access entries can be used at all."""
    cluster = backend.cluster(asked["clusterName"])
    if cluster.access_config["authenticationMode"] == "CONFIG_MAP":
        raise bad_request(
            "The cluster's authentication mode must be set to one of "
            "[API, API_AND_CONFIG_MAP] to perform this operation."
        )
    return cluster


def _entry(backend, asked):
    cluster = _cluster_with_api(backend, asked)
    if asked["principalArn"] not in cluster.access_entries:
        raise not_found(
            "The specified principalArn could not be found. You can view your available access "
            "entries with 'list-access-entries'."
        )
    return cluster.access_entries[asked["principalArn"]]


def _while_there(cluster, entry):
    if cluster.access_entries.get(entry.principal_arn) is entry:
        return {"accessEntry": entry.describe()}
    return None


def _check_principal(backend, arn):
    """A principal must be one that IAM knows, and no role of a service."""
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[2] != "iam" or not parts[5].startswith(("role/", "user/")):
        raise bad_parameter("The specified principalArn is invalid: invalid principal.")
    if "/aws-service-role/" in arn:
        raise bad_parameter(
            "The caller is not allowed to modify access entries with a principalArn value of a "
            "Service Linked Role."
        )
    if parts[4] != backend.account_id:
        return
    if not _is_known(backend, arn):
        raise bad_parameter("The specified principalArn is invalid: invalid principal.")


def _is_known(backend, arn):
    from moto.iam.models import iam_backends

    from ..trust import is_believed

    if arn.endswith(f":user/{identity.USER_NAME}"):
        return True
    iam = iam_backends[backend.account_id][backend.partition]
    if any(user.arn == arn for user in iam.users.values()):
        return True
    role = identity.find_role(arn)
    return role is not None and is_believed(role)


def _check_type(kind, groups, username):
    if kind not in TYPES:
        raise bad_parameter(f"The type {kind} is not one of {', '.join(TYPES)}.")
    if kind != STANDARD and (groups or username):
        raise bad_parameter(
            f"You can't specify kubernetesGroups or a username for an access entry of type {kind}."
        )
    for group in groups:
        if group.startswith(("system:", "eks:", "aws:", "amazon:", "iam:")):
            prefix = group.split(":")[0]
            raise bad_parameter(
                f"The kubernetes group name {group} is invalid, it cannot start with {prefix}:"
            )


def _default_username(arn, kind):
    if kind in (EC2_LINUX, "EC2_WINDOWS"):
        return "system:node:{{EC2PrivateDNSName}}"
    if kind in ("FARGATE_LINUX", "HYBRID_LINUX", "HYPERPOD_LINUX"):
        return "system:node:{{SessionName}}"
    if ":role/" in arn:
        head, _, name = arn.partition(":role/")
        return f"{head.replace(':iam:', ':sts:')}:assumed-role/{name.rsplit('/', 1)[-1]}/{{{{SessionName}}}}"
    return arn
