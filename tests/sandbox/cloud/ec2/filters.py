"""What kinds of resources that are ours say when a call filters them."""

from moto.ec2.exceptions import EC2ClientError


def value(values, name):
    """The value of the filter `name`; an error as EC2's for one that the kind does not know."""
    if name not in values:
        raise EC2ClientError("InvalidParameterValue", f"The filter '{name}' is invalid")
    return values[name]
