"""What is not played: there is none of it, and asking says so."""

from .service import operation


@operation("ListFargateProfiles")
def list_fargate_profiles(backend, asked, caller):
    """There are no Fargate profiles."""
    backend.cluster(asked["clusterName"])
    return {"fargateProfileNames": []}


@operation("ListIdentityProviderConfigs")
def list_identity_provider_configs(backend, asked, caller):
    """There are no identity providers of a cluster's own."""
    backend.cluster(asked["clusterName"])
    return {"identityProviderConfigs": []}


@operation("ListInsights")
def list_insights(backend, asked, caller):
    """There is nothing to say about a cluster."""
    backend.cluster(asked["clusterName"])
    return {"insights": []}
