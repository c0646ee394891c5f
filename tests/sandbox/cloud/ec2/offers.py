"""What EC2 offers, page by page as EC2 gives it: types, where they are, what spot costs."""

import datetime

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response

from ..mend import mend
from . import capacity

# The most that one answer has.
_PAGES = {"InstanceTypes": 100, "InstanceTypeOfferings": 1000, "SpotPriceHistory": 1000}


def _page(response, member, things):
    """One page of an answer, and the token for the next."""
    most = _PAGES[member]
    size = min(int(response._get_param("MaxResults") or most), most)
    try:
        start = int(response._get_param("NextToken") or 0)
    except ValueError:
        raise EC2ClientError("InvalidNextToken", "The token is invalid.") from None
    answer = {member: things[start : start + size]}
    if start + size < len(things):
        answer["NextToken"] = str(start + size)
    return ActionResult(answer)


@mend(EC2Response, "describe_instance_types")
def describe_instance_types(original, self):
    """Types by name, a hundred at a time."""
    found = self.ec2_backend.describe_instance_types(
        self._get_param("InstanceTypes", []), self._filters_from_querystring()
    )
    return _page(self, "InstanceTypes", sorted(found, key=lambda known: known["InstanceType"]))


@mend(EC2Response, "describe_instance_type_offerings")
def describe_instance_type_offerings(original, self):
    """Which types a region, a zone has."""
    found = self.ec2_backend.describe_instance_type_offerings(
        self._get_param("LocationType"), self._filters_from_querystring()
    )
    found = sorted(found, key=lambda offer: (offer["InstanceType"], offer["Location"]))
    return _page(self, "InstanceTypeOfferings", found)


@mend(EC2Response, "describe_spot_price_history")
def describe_spot_price_history(original, self):
    """The prices by which fleets are filled; moto has one price for everything."""
    filters = {
        name: values
        for name, values in self._filters_from_querystring().items()
        if name in ("availability-zone", "instance-type")
    }
    offered = self.ec2_backend.describe_spot_price_history(
        self._get_param("InstanceTypes", []), filters
    )
    moment = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    prices = capacity.on_demand_prices()
    history = [
        {
            "InstanceType": offer["InstanceType"],
            "ProductDescription": "Linux/UNIX",
            "SpotPrice": f"{capacity.price(offer['InstanceType'], offer['Location'], True):.6f}",
            "AvailabilityZone": offer["Location"],
            "Timestamp": moment,
        }
        for offer in sorted(offered, key=lambda offer: (offer["InstanceType"], offer["Location"]))
        if offer["InstanceType"] in prices
    ]
    return _page(self, "SpotPriceHistory", history)
