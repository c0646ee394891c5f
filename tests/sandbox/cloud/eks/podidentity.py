"""Pod identity associations: which role a service account's pods get."""

from .. import identity, trust
from .errors import bad_parameter, in_use, not_found
from .service import operation
from .store import new_short_id, now, page

_ACTIONS = ("sts:AssumeRole", "sts:TagSession")


class Association:
    """A service account and its role."""

    def __init__(self, backend, cluster, asked, owner_arn=None):
        self.cluster_name = cluster.name
        self.namespace = asked["namespace"]
        self.service_account = asked["serviceAccount"]
        self.id = f"a-{new_short_id()}"
        self.arn = backend.arn(f"podidentityassociation/{cluster.name}/{self.id}")
        self.created_at = self.modified_at = now()
        self.tags = dict(asked.get("tags", {}))
        self.owner_arn = owner_arn
        self.settings = {}
        self.change(asked)

    def change(self, asked):
        """Take over what a create or update call says."""
        for member in ("roleArn", "targetRoleArn", "disableSessionTags", "policy"):
            if member in asked:
                self.settings[member] = asked[member]
        self.modified_at = now()

    def summary(self):
        """The association as a list shows it."""
        return {
            "clusterName": self.cluster_name,
            "namespace": self.namespace,
            "serviceAccount": self.service_account,
            "associationArn": self.arn,
            "associationId": self.id,
            "ownerArn": self.owner_arn,
        }

    def describe(self):
        """The association as the API shows it."""
        return {
            **self.summary(),
            "disableSessionTags": False,
            **self.settings,
            "tags": self.tags,
            "createdAt": self.created_at,
            "modifiedAt": self.modified_at,
        }


@operation("CreatePodIdentityAssociation")
def create_association(backend, asked, caller):
    """A role for a service account that has none yet."""
    cluster = backend.cluster(asked["clusterName"])

    def make():
        _check_free(cluster, asked["namespace"], asked["serviceAccount"])
        _check_role(asked["roleArn"])
        association = Association(backend, cluster, asked)
        cluster.associations[association.id] = association
        return lambda: (
            {"association": association.describe()}
            if association.id in cluster.associations
            else None
        )

    return backend.once("CreatePodIdentityAssociation", asked, make)


@operation("DescribePodIdentityAssociation")
def describe_association(backend, asked, caller):
    """One association."""
    return {"association": _association(backend, asked).describe()}


@operation("ListPodIdentityAssociations")
def list_associations(backend, asked, caller):
    """All associations, or those of a namespace or a service account."""
    found = [
        association.summary()
        for association in backend.cluster(asked["clusterName"]).associations.values()
        if asked.get("namespace") in (None, association.namespace)
        and asked.get("serviceAccount") in (None, association.service_account)
    ]
    return page(found, asked, "associations", key=lambda entry: entry["associationId"])


@operation("UpdatePodIdentityAssociation")
def update_association(backend, asked, caller):
    """Another role, or other settings."""
    association = _association(backend, asked)
    if "roleArn" in asked:
        _check_role(asked["roleArn"])
    association.change(asked)
    return {"association": association.describe()}


@operation("DeletePodIdentityAssociation")
def delete_association(backend, asked, caller):
    """The association goes."""
    association = _association(backend, asked)
    del backend.cluster(asked["clusterName"]).associations[association.id]
    return {"association": association.describe()}


def set_for_addon(backend, cluster, addon, wanted, replace=False):
    """The associations that come with an add-on; `None` leaves them as they are."""
    if wanted is None:
        return
    if replace:
        for name in addon.association_ids:
            cluster.associations.pop(name, None)
        addon.association_ids = []
    for pair in wanted:
        asked = {**pair, "namespace": addon.namespace}
        _check_free(cluster, asked["namespace"], asked["serviceAccount"])
        _check_role(asked["roleArn"])
        association = Association(backend, cluster, asked, owner_arn=addon.arn)
        cluster.associations[association.id] = association
        addon.association_ids.append(association.id)


def _association(backend, asked):
    found = backend.cluster(asked["clusterName"]).associations.get(asked["associationId"])
    if found is None:
        raise not_found(f"No association found with ID: {asked['associationId']}")
    return found


def _check_free(cluster, namespace, service_account):
    for association in cluster.associations.values():
        if (association.namespace, association.service_account) == (namespace, service_account):
            raise in_use(f"Association already exists: {association.id}", clusterName=cluster.name)


def _check_role(arn):
    role = identity.find_role(arn)
    if role is None or not trust.is_believed(role):
        raise bad_parameter(f"Role provided in the request does not exist: {arn}")
    if not trust.trusts(role, "pods.eks.amazonaws.com", _ACTIONS):
        raise bad_parameter(
            "Trust policy is not valid: the role must allow pods.eks.amazonaws.com to do "
            "sts:AssumeRole and sts:TagSession"
        )
