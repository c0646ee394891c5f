"""What EKS answers the pod identity agent: credentials of the role that a service account has."""

from .. import identity, trust
from . import view


def for_pod(asked):
    """Status and credentials, in the shape of the container credentials provider."""
    cluster = view.find(asked["cluster"], asked.get("region"))
    if cluster is None:
        return 404, {"error": f"no cluster `{asked['cluster']}`"}
    wanted = (asked["namespace"], asked["serviceAccount"])
    for association in cluster.associations.values():
        if (association.namespace, association.service_account) == wanted:
            return _assume(cluster, association, asked.get("pod", ""))
    return 404, {
        "error": f"AccessDeniedException: no association for {wanted[0]}/{wanted[1]} in "
        f"{cluster.name}"
    }


def _assume(cluster, association, pod):
    from moto.sts.models import sts_backends

    backend = cluster.backend
    role_arn = association.settings["roleArn"]
    role = identity.find_role(role_arn)
    if role is None or not trust.trusts(
        role, "pods.eks.amazonaws.com", ("sts:AssumeRole", "sts:TagSession")
    ):
        return 400, {
            "error": f"AccessDeniedException: the role {role_arn} is not there, or does not let "
            "pods.eks.amazonaws.com do sts:AssumeRole and sts:TagSession"
        }
    session = sts_backends[backend.account_id][backend.partition].assume_role(
        region_name=backend.region_name,
        role_session_name=f"eks-{cluster.name}-{pod}"[:64],
        role_arn=association.settings.get("targetRoleArn") or role_arn,
        policy=None,
        duration=21600,
        external_id=None,
    )
    return 200, {
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": session.secret_access_key,
        "Token": session.session_token,
        "AccountId": backend.account_id,
        "Expiration": session.expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
