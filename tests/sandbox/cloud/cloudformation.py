"""CloudFormation: stacks that take time, roll back when something fails, and want their capabilities.

Loaded when the first call for CloudFormation comes, because moto's takes long to import.
"""

import contextlib
import json
import sys
import traceback

import yaml
from moto.cloudformation import parsing
from moto.cloudformation.exceptions import (
    AlreadyExistsException,
    CloudFormationError,
    ValidationError,
)
from moto.cloudformation.models import CloudFormationBackend
from moto.cloudformation.responses import CloudFormationResponse
from moto.cloudformation.utils import yaml_tag_constructor
from moto.core.responses import ActionResult, EmptyResult

from .clock import after
from .mend import mend
from .weather import WEATHER

_IAM_TYPES = ("Role", "ManagedPolicy", "InstanceProfile", "User", "Group", "Policy")
_NAMES = ("RoleName", "ManagedPolicyName", "InstanceProfileName", "UserName", "GroupName")


# Properties that take JSON, as an object or as its text; moto knows objects alone.
_JSON_PROPERTIES = ("PolicyDocument", "AssumeRolePolicyDocument", "EventPattern", "KeyPolicy")
_moto_parse_resource = parsing.parse_resource


def _parse_resource(resource_json, resources_map):
    parsed = _moto_parse_resource(resource_json, resources_map)
    if parsed:
        properties = parsed[1].get("Properties") or {}
        for name in _JSON_PROPERTIES:
            if isinstance(properties.get(name), str):
                properties[name] = json.loads(properties[name])
    return parsed


parsing.parse_resource = _parse_resource


class InsufficientCapabilities(CloudFormationError):
    """The template makes things of IAM, and the request does not say that it may."""

    code = "InsufficientCapabilitiesException"


class Busy(CloudFormationError):
    """The stack is in the middle of something."""

    code = "ValidationError"


def parse_template(text):
    """A template as a dict. Raises the error of CloudFormation for what is none."""
    yaml.add_multi_constructor("", yaml_tag_constructor)
    try:
        parsed = yaml.load(text or "", Loader=yaml.Loader)
    except yaml.YAMLError as error:
        raise ValidationError(message=f"Template format error: {error}") from error
    if not isinstance(parsed, dict) or not isinstance(parsed.get("Resources"), dict):
        raise ValidationError(
            message="Template format error: At least one Resources member must be defined."
        )
    return parsed


def _capabilities_of(template):
    """What a template wants to be allowed: nothing, IAM, or IAM with names."""
    wanted = None
    for resource in template["Resources"].values():
        kind = str(resource.get("Type", ""))
        if kind.startswith("AWS::IAM::") and kind.split("::")[-1] in _IAM_TYPES:
            properties = resource.get("Properties") or {}
            named = any(name in properties for name in _NAMES)
            if named:
                return "CAPABILITY_NAMED_IAM"
            wanted = "CAPABILITY_IAM"
    return wanted


def _check_capabilities(response, text):
    wanted = _capabilities_of(parse_template(text))
    given = response._get_param("Capabilities", [])
    enough = {None: [], "CAPABILITY_IAM": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]}.get(
        wanted, ["CAPABILITY_NAMED_IAM"]
    )
    if wanted and not any(one in given for one in enough):
        raise InsufficientCapabilities(f"Requires capabilities : [{wanted}]")


@mend(CloudFormationResponse, "create_stack")
def create_stack(original, self):
    """One stack per client request token."""
    if self._get_param("TemplateBody"):
        _check_capabilities(self, self._get_param("TemplateBody"))
    backend = self.cloudformation_backend
    token, name = self._get_param("ClientRequestToken"), self._get_param("StackName")
    known = backend.__dict__.setdefault("client_tokens", {})
    if token and ("create", name, token) in known:
        stack_id = known[("create", name, token)]
        if stack_id in backend.stacks:
            return ActionResult({"StackId": stack_id})
    answer = original(self)
    if token:
        known[("create", name, token)] = answer.result["StackId"]
    return answer


@mend(CloudFormationBackend, "create_stack")
def create_stack_of_backend(original, self, name, *args, **kwargs):
    """The resources come at once, the word that they are there after a while."""
    if any(stack.name == name for stack in self.stacks.values()):
        raise AlreadyExistsException(f"Stack [{name}] already exists")
    before = set(self.stacks)
    try:
        stack = original(self, name, *args, **kwargs)
    except Exception as error:  # whatever failed, the stack is rolled back
        made = [self.stacks[stack_id] for stack_id in self.stacks if stack_id not in before]
        if not made or isinstance(error, ValidationError):
            for stack in made:
                self.stacks.pop(stack.stack_id)
            raise
        stack = made[0]
        _roll_back(stack, error)
        return stack
    _in_progress(stack, "CREATE", "stack", WEATHER.now.to_be_ready)
    return stack


def _roll_back(stack, error):
    """Take away what was made, and keep the reason for whoever asks."""
    reason = getattr(error, "message", None) or str(error)
    stack._add_stack_event("CREATE_FAILED", resource_status_reason=reason)
    try:
        stack.resource_map.delete()
    except Exception:  # moto cannot delete what it has not made
        traceback.print_exc(file=sys.stderr)
    _freeze(stack)
    stack.status = "ROLLBACK_COMPLETE"
    stack.status_reason = reason
    stack._add_stack_event("ROLLBACK_COMPLETE", resource_status_reason=reason)


def _freeze(stack):
    """Nothing of a stack that is gone is made again; moto makes whatever somebody looks at."""
    stack.resource_map._resource_json_map = {}
    stack.resource_map._parsed_resources = {
        name: value
        for name, value in stack.resource_map._parsed_resources.items()
        if isinstance(value, str)
    }
    stack.output_map._output_json_map = {}


def _in_progress(stack, verb, kind, seconds_of):
    """The stack is at it for a while, then done."""
    done = stack.status
    if not done.endswith("COMPLETE"):
        return
    seconds = seconds_of(kind)
    if seconds > 0:
        stack.status = f"{verb}_IN_PROGRESS"

        def finish():
            if stack.status == f"{verb}_IN_PROGRESS":
                stack.status = done

        after(seconds, finish)


def _refuse_while_busy(stack, verb):
    if stack.status.endswith("_IN_PROGRESS"):
        raise Busy(f"Stack:{stack.stack_id} is in {stack.status} state and can not be {verb}.")


@mend(CloudFormationResponse, "update_stack")
def update_stack(original, self):
    """Refused while the stack is busy, or when there is nothing to do."""
    backend = self.cloudformation_backend
    stack = backend.get_stack(self._get_param("StackName"))
    body = self._get_param("TemplateBody")
    token = self._get_param("ClientRequestToken")
    known = backend.__dict__.setdefault("client_tokens", {})
    if token and known.get(("update", stack.name, token)) == stack.stack_id:
        return ActionResult({"StackId": stack.stack_id})
    _refuse_while_busy(stack, "updated")
    if body:
        _check_capabilities(self, body)
        tags = {item["Key"]: item["Value"] for item in self._get_param("Tags", [])}
        same_tags = not tags or tags == (stack.tags or {})
        if body == stack.template and not self._get_param("Parameters") and same_tags:
            raise ValidationError(message="No updates are to be performed.")
    answer = original(self)
    _in_progress(stack, "UPDATE", "stack", WEATHER.now.to_be_ready)
    if token:
        known[("update", stack.name, token)] = stack.stack_id
    return answer


@mend(CloudFormationResponse, "delete_stack")
def delete_stack(original, self):
    """Deleting for a while; a stack that is not there is deleted already."""
    backend = self.cloudformation_backend
    with contextlib.suppress(ValidationError):
        stack = backend.get_stack(self._get_param("StackName"))
        if stack.stack_id not in backend.stacks or stack.status == "DELETE_IN_PROGRESS":
            return EmptyResult()
        if stack.enable_termination_protection:
            raise Busy(
                f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled"
            )
        _refuse_while_busy(stack, "deleted")
        stack.status = "DELETE_IN_PROGRESS"
        after(WEATHER.now.to_be_gone("stack"), lambda: _finish_deletion(backend, stack))
    return EmptyResult()


def _finish_deletion(backend, stack):
    try:
        backend.delete_stack(stack.stack_id)
        _freeze(stack)
    except Exception as error:  # a resource that would not go
        stack.status = "DELETE_FAILED"
        stack.status_reason = getattr(error, "message", None) or str(error)
        stack._add_stack_event("DELETE_FAILED", resource_status_reason=stack.status_reason)
        backend.stacks[stack.stack_id] = stack


@mend(CloudFormationBackend, "validate_template")
def validate_template(original, self, template):
    """Only that it is a template; the linter that moto wants is not installed."""
    parse_template(template)
    return []
