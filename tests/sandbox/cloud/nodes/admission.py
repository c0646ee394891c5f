"""Whether EKS lets an instance join: its role must be in, and be able to do what a node has to."""

from .. import identity
from ..eks.access import EC2_LINUX


def refusal(cluster, instance):
    """Why an instance cannot join its cluster, in a sentence, or None."""
    role = _role_of(cluster, instance)
    if role is None:
        return "the instance has no instance profile with a role, so its kubelet has no identity"
    if "AmazonEKSWorkerNodePolicy" not in identity.attached_policy_names(role):
        return f"the role {role.arn} lacks AmazonEKSWorkerNodePolicy, so nodeadm cannot start"
    mode = cluster.access_config["authenticationMode"]
    entry = cluster.access_entries.get(role.arn)
    if mode == "CONFIG_MAP":
        # EKS writes the roles of its own node groups into aws-auth.
        managed = {group.role_arn for group in cluster.nodegroups.values()}
        return None if role.arn in managed else f"aws-auth does not name the role {role.arn}"
    if entry is None:
        return f"Unauthorized: the cluster has no access entry for the role {role.arn}"
    if entry.kind != EC2_LINUX:
        return f"Unauthorized: the access entry of {role.arn} is {entry.kind}, not {EC2_LINUX}"
    if entry.role_id != role.id:
        return (
            f"Unauthorized: the access entry is about an earlier role of the name {role.arn}; "
            "it has to be made anew"
        )
    return None


def marks(cluster):
    """What the answers above depend on, cheap to compare."""
    return (
        tuple(
            (arn, entry.kind, entry.role_id)
            for arn, entry in sorted(cluster.access_entries.items())
        ),
        cluster.access_config["authenticationMode"],
        _policies(cluster),
    )


def _policies(cluster):
    from moto.iam.models import iam_backends

    iam = iam_backends[cluster.backend.account_id][cluster.backend.partition]
    return hash(tuple((role.id, len(role.managed_policies)) for role in iam.roles.values()))


def _role_of(cluster, instance):
    profile = getattr(instance, "iam_instance_profile", None) or {}
    if not profile.get("Arn"):
        return None
    backend = cluster.backend
    found = identity.find_instance_profile(
        backend.account_id, backend.region_name, arn=profile["Arn"]
    )
    return found.roles[0] if found is not None and found.roles else None
