"""AWS Price List: on-demand prices of EC2 from a table, in the shape that GetProducts has."""

import json

from moto.core.utils import get_service_model

from .ec2 import capacity
from .wire import ServiceError

_PAGE = 100
_LOCATIONS = {
    "us-east-1": "US East (N. Virginia)",
    "us-east-2": "US East (Ohio)",
    "us-west-1": "US West (N. California)",
    "us-west-2": "US West (Oregon)",
    "eu-west-1": "EU (Ireland)",
    "eu-central-1": "EU (Frankfurt)",
    "ap-northeast-1": "Asia Pacific (Tokyo)",
    "ap-northeast-2": "Asia Pacific (Seoul)",
    "ap-southeast-1": "Asia Pacific (Singapore)",
}


class PricingService:
    """The Price List service, as far as an autoscaler asks it."""

    def action_of(self, method, raw_path):
        """Its calls name their action in a header; there is none by path."""
        return f"{method} {raw_path}"

    def handle(self, call, request):
        """Answer a call."""
        asked = json.loads(request.data or b"{}")
        if call.action not in get_service_model("pricing").operation_names:
            raise ServiceError("UnknownOperationException", call.action, 400)
        if call.action == "DescribeServices":
            answer = {"Services": [{"ServiceCode": "AmazonEC2", "AttributeNames": []}]}
        elif call.action == "GetProducts":
            answer = _products(asked)
        else:
            raise NotImplementedError(f"pricing:{call.action}")
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(answer)


def _products(asked):
    """One page of price lists that match all filters."""
    if asked.get("ServiceCode") != "AmazonEC2":
        return {"FormatVersion": "aws_v1", "PriceList": []}
    wanted = {entry["Field"]: entry["Value"] for entry in asked.get("Filters") or []}
    region = wanted.get("regionCode", "us-east-1")
    matching = []
    for instance_type, price in sorted(capacity.on_demand_prices().items()):
        attributes = _attributes(instance_type, region)
        if all(attributes.get(field, value) == value for field, value in wanted.items()):
            matching.append((attributes, price))
    size = int(asked.get("MaxResults") or _PAGE)
    start = int(asked.get("NextToken") or 0)
    page = [json.dumps(_price_list(*entry)) for entry in matching[start : start + size]]
    answer = {"FormatVersion": "aws_v1", "PriceList": page}
    if start + size < len(matching):
        answer["NextToken"] = str(start + size)
    return answer


def _attributes(instance_type, region):
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    known = INSTANCE_TYPES.get(instance_type, {})
    return {
        "instanceType": instance_type,
        "regionCode": region,
        "location": _LOCATIONS.get(region, region),
        "operatingSystem": "Linux",
        "preInstalledSw": "NA",
        "tenancy": "Shared",
        "capacitystatus": "Used",
        "operation": "RunInstances",
        "marketoption": "OnDemand",
        "servicecode": "AmazonEC2",
        "productFamily": "Compute Instance (bare metal)"
        if "metal" in instance_type
        else "Compute Instance",
        "vcpu": str(known.get("VCpuInfo", {}).get("DefaultVCpus", "")),
        "memory": f"{known.get('MemoryInfo', {}).get('SizeInMiB', 0) / 1024:g} GiB",
    }


def _price_list(attributes, price):
    name = attributes["instanceType"].replace(".", "").upper()
    attributes = dict(attributes)
    family = attributes.pop("productFamily")
    return {
        "product": {"productFamily": family, "attributes": attributes, "sku": name},
        "serviceCode": "AmazonEC2",
        "terms": {
            "OnDemand": {
                f"{name}.JRTCKXETXF": {
                    "offerTermCode": "JRTCKXETXF",
                    "sku": name,
                    "termAttributes": {},
                    "priceDimensions": {
                        f"{name}.JRTCKXETXF.6YS6EN2CT7": {
                            "unit": "Hrs",
                            "beginRange": "0",
                            "endRange": "Inf",
                            "description": f"${price} per On Demand Linux {attributes['instanceType']}",
                            "pricePerUnit": {"USD": f"{price:.10f}"},
                        }
                    },
                }
            }
        },
        "version": "20261101000000",
    }
