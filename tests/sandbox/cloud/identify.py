"""What a request is: which service, which action, in which region, by whom."""

import dataclasses
import re
import urllib.parse

# Names that requests are signed with, and what the service is called here.
_ALIASES = {
    "monitoring": "cloudwatch",
    "tagging": "resourcegroupstaggingapi",
    "service-quotas": "servicequotas",
}
_JSON_TARGET_SERVICES = {
    "AmazonSSM": "ssm",
    "AWSEvents": "events",
    "AmazonSQS": "sqs",
    "secretsmanager": "secretsmanager",
    "Logs_20140328": "logs",
    "TrentService": "kms",
    "ServiceQuotasV20190624": "servicequotas",
    "AWSPriceListService": "pricing",
    "ResourceGroupsTaggingAPI_20170126": "resourcegroupstaggingapi",
}
_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/(\d+)/([^/]+)/([^/]+)/aws4_request")


@dataclasses.dataclass
class Call:
    """One request, identified. `parameters` are those of a query or EC2 call; empty otherwise."""

    service: str
    action: str
    region: str
    access_key: str | None
    protocol: str
    parameters: dict
    signed: bool


def identify(method, path, query, headers, body):
    """The `Call` that a request is. `headers` has lower-case names; `body` is bytes."""
    asked = urllib.parse.parse_qs(query, keep_blank_values=True)
    access_key, region, service = _credential(headers, asked)
    target = headers.get("x-amz-target")
    content_type = headers.get("content-type", "")
    parameters = {}
    if content_type.startswith("application/x-www-form-urlencoded"):
        parameters = urllib.parse.parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    elif "Action" in asked:
        parameters = asked
    parameters = {name: values[0] for name, values in parameters.items()}

    if target:
        prefix, _, action = target.rpartition(".")
        service = service or _JSON_TARGET_SERVICES.get(prefix, prefix.lower())
        protocol = "json"
    elif "Action" in parameters:
        action = parameters["Action"]
        service = service or "sts"
        protocol = "ec2" if service == "ec2" else "query"
    else:
        service = service or "s3"
        protocol = "rest-xml" if service == "s3" else "rest-json"
        action = ""
    service = _ALIASES.get(service, service)
    if service == "elasticloadbalancing":
        service = "elbv2" if parameters.get("Version") == "2015-12-01" else "elb"
    return Call(
        service=service,
        action=action,
        region=region or "us-east-1",
        access_key=access_key,
        protocol=protocol,
        parameters=parameters,
        signed=access_key is not None,
    )


def _credential(headers, asked):
    """Access key, region and service that a request is signed with, in its header or its query."""
    match = _CREDENTIAL.search(headers.get("authorization", ""))
    if match:
        return match.group(1), match.group(3), match.group(4)
    credential = asked.get("X-Amz-Credential", [""])[0].split("/")
    if len(credential) == 5:
        return credential[0], credential[2], credential[3]
    return None, None, None
