"""Tags and filters: found directly instead of by searching all tags, and matched as EC2 matches."""

import fnmatch

import moto.ec2.utils as utils
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.responses import EC2Response
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix

from ..mend import mend


@mend(TaggedEC2Resource, "get_tags")
def get_tags(original, self):
    """moto goes through the tags of everything to find those of one thing."""
    tags = self.ec2_backend.tags.get(self.id)
    if not tags:
        return []
    kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(self.id), "")
    return [
        {"resource_id": self.id, "key": key, "value": value, "resource_type": kind}
        for key, value in tags.items()
    ]


@mend(TaggedEC2Resource, "get_filter_value")
def get_filter_value(original, self, filter_name, method_name=None):
    """Every kind can be found by `<kind>-id`, which moto has for some."""
    if filter_name == f"{EC2_PREFIX_TO_RESOURCE.get(get_prefix(self.id), '')}-id":
        return self.id
    return original(self, filter_name, method_name)


_moto_matching = utils.is_filter_matching


def is_filter_matching(thing, name, wanted):
    """Of several values of a thing, one that matches is enough; moto wants all of them to."""
    value = thing.get_filter_value(name)
    if isinstance(value, (list, set, tuple, type({}.values()), type({}.keys()))):
        wanted = wanted if isinstance(wanted, list) else [wanted]
        return any(
            fnmatch.fnmatchcase(str(one), str(pattern)) for one in value for pattern in wanted
        )
    return _moto_matching(thing, name, wanted)


utils.is_filter_matching = is_filter_matching


@mend(EC2Response, "create_tags")
def create_tags(original, self):
    """Keys of AWS's own are not for users."""
    for tag in self._get_param("Tags", []):
        if str(tag.get("Key", "")).lower().startswith("aws:"):
            raise EC2ClientError(
                "InvalidParameterValue",
                "Tag keys starting with 'aws:' are reserved for internal use",
            )
    return original(self)


@mend(EC2Backend, "describe_tags")
def describe_tags(original, self, filters=None):
    """With the filter `tag:<key>`, which moto does not know."""
    filters = dict(filters or {})
    by_tag = {name[4:]: filters.pop(name) for name in list(filters) if name.startswith("tag:")}
    found = original(self, filters=filters or None)
    for key, wanted in by_tag.items():
        found = [
            tag
            for tag in found
            if tag["key"] == key and any(fnmatch.fnmatchcase(tag["value"], one) for one in wanted)
        ]
    return found
