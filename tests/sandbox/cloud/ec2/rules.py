"""Rules of security groups: one that names a group has a description too, which tells no two apart."""

from moto.ec2.models.security_groups import SecurityGroupRule

from ..mend import mend


def _description(self):
    return self.ip_range.get("Description") or (self.source_group or {}).get("Description")


SecurityGroupRule.description = property(_description)


@mend(SecurityGroupRule, "__eq__")
def __eq__(original, self, other):
    """The same but for the description is the same."""
    described = self.source_group, other.source_group
    self.source_group, other.source_group = (_without_description(group) for group in described)
    try:
        return original(self, other)
    finally:
        self.source_group, other.source_group = described


def _without_description(group):
    return {key: value for key, value in (group or {}).items() if key != "Description"}
