"""Tags of everything that EKS has, by ARN."""

from .errors import bad_parameter, not_found
from .service import operation


def _tags(backend, asked):
    """The tags (a dict that can be changed) of the thing with this ARN."""
    arn = asked["resourceArn"]
    for cluster in backend.clusters.values():
        if cluster.arn == arn:
            return cluster.tags
        for things in (
            cluster.nodegroups,
            cluster.addons,
            cluster.access_entries,
            cluster.associations,
        ):
            for thing in things.values():
                if thing.arn == arn:
                    return thing.tags
    raise not_found(f"Resource not found: {arn}")


@operation("TagResource")
def tag_resource(backend, asked, caller):
    """Add or replace tags."""
    tags = _tags(backend, asked)
    for name in asked["tags"]:
        if name.startswith("aws:"):
            raise bad_parameter("Tag keys cannot start with aws:")
    if len({*tags, *asked["tags"]}) > 50:
        raise bad_parameter("Too many tags: a resource can have 50")
    tags.update(asked["tags"])


@operation("UntagResource")
def untag_resource(backend, asked, caller):
    """Take tags away; those that are not there are no matter."""
    tags = _tags(backend, asked)
    for name in asked.get("tagKeys", []):
        tags.pop(name, None)


@operation("ListTagsForResource")
def list_tags(backend, asked, caller):
    """All tags of a thing."""
    return {"tags": dict(_tags(backend, asked))}
