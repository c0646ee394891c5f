"""The weather: how the cloud behaves besides doing what it is told. Fine by default.

One object, `WEATHER`, is read by everything else. It is set as a whole: what a request leaves out
goes back to fine. Every field is described where it is declared; `README.md` has the same table.
"""

import dataclasses
import random

# Kinds of things that take time, as named in `seconds`, `create_seconds` and `delete_seconds`.
KINDS = (
    "cluster",
    "nodegroup",
    "database",
    "nat",
    "addon",
    "stack",
    "instance",
    "endpoint",
    "update",
    "loadbalancer",
    "boot",  # From an instance that runs to its node; from its end to the end of the node.
    "pod",  # From a pod that is bound to one that is ready; from its deletion to its end.
)


class BadWeather(ValueError):
    """A weather that the cloud does not know how to play."""


@dataclasses.dataclass
class Weather:
    """How the cloud behaves. Shares are 0.0 to 1.0, times are seconds unless named otherwise."""

    # Seconds until a thing of a kind is ready and until it is gone (`{"cluster": 20}`).
    seconds: dict = dataclasses.field(default_factory=dict)
    # The same for one direction only; wins over `seconds`.
    create_seconds: dict = dataclasses.field(default_factory=dict)
    delete_seconds: dict = dataclasses.field(default_factory=dict)
    # Milliseconds added to every call.
    latency_ms: float = 0.0
    # Share of calls refused because of too many requests.
    throttled: float = 0.0
    # Share of calls that fail with an internal error, undone.
    server_error: float = 0.0
    # Share of calls that are done, and whose connection then breaks without an answer.
    lost_answer: float = 0.0
    # Lose answers of reading calls too, not of mutating ones alone.
    lost_answer_reads: bool = False
    # What the dice are thrown with.
    seed: int = 0
    # Whom mishaps, delays and refusals of calls are for: patterns of ARNs and of user agents
    # (`*assumed-role/shop-autoscaler*`, `*karpenter.sh*`); everybody when empty.
    callers: list = dataclasses.field(default_factory=list)
    # Which calls they are for: patterns of `service:Action`; all when empty.
    calls: list = dataclasses.field(default_factory=list)
    # Seconds until EC2, EKS and RDS believe that a new role or instance profile exists.
    role_delay_seconds: float = 0.0
    # The n-th mutating call from now on (from 1) at which the calling process is killed.
    kill_at: int | None = None
    # Kill it `before` the call is done, or `after`.
    kill_when: str = "after"
    # `service:Action` patterns (`ec2:CreateVpc`, `eks:*`) that the caller may not do.
    deny: list = dataclasses.field(default_factory=list)
    # Every credential has expired.
    expired: bool = False
    # No credential is known.
    invalid_credentials: bool = False
    # Where there is no capacity: `m5.large`, `m5.large/us-east-1a`, `*/us-east-1a/spot`.
    insufficient_capacity: list = dataclasses.field(default_factory=list)
    # Most instances that one CreateFleet call may get.
    fleet_limit: int | None = None
    # Service quotas by code (`{"L-F678F1CE": 5}`); a quota named here is also enforced.
    quotas: dict = dataclasses.field(default_factory=dict)
    # The control plane writes to its log group once more after its cluster is gone.
    late_log_writes: bool = False
    # Seconds until the name of a deleted queue is free again (60 in AWS).
    queue_name_seconds: float = 0.0
    # At the doors of the clusters' API servers: `latency_ms`, `throttled`, `server_error`, `lost_answer`,
    # `seed`, `kill_at`, `kill_when`, `unreachable`, for `callers`: those from outside when left out.
    kubernetes: dict = dataclasses.field(default_factory=dict)
    # Calls that are to fail, once each: [{"call": "eks:CreateAddon", "code": "…", "message": "…"}].
    fail: list = dataclasses.field(default_factory=list)

    def __post_init__(self):
        self._dice = random.Random(self.seed)

    def to_be_ready(self, kind):
        """Seconds until a new thing of this kind is ready."""
        return float(self.create_seconds.get(kind, self.seconds.get(kind, 0)))

    def to_be_gone(self, kind):
        """Seconds until a thing of this kind that is being deleted is gone."""
        return float(self.delete_seconds.get(kind, self.seconds.get(kind, 0)))

    def strikes(self, share):
        """Whether a mishap of this share happens now."""
        return share > 0 and self._dice.random() < share

    def as_dict(self):
        """What `GET /sandbox/weather` answers."""
        return dataclasses.asdict(self)


def parse(wanted):
    """The weather that a JSON object describes. Raises `BadWeather` naming what is wrong."""
    if not isinstance(wanted, dict):
        raise BadWeather("the weather is a JSON object")
    known = {field.name: field for field in dataclasses.fields(Weather)}
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise BadWeather(f"unknown weather `{unknown[0]}`; there is {', '.join(known)}")
    wanted = {name: value for name, value in wanted.items() if value is not None}
    for name in ("seconds", "create_seconds", "delete_seconds"):
        _check_seconds(name, wanted.get(name, {}))
    for name in ("throttled", "server_error", "lost_answer"):
        _check_number(name, wanted.get(name, 0), most=1)
    for name in ("latency_ms", "role_delay_seconds", "queue_name_seconds"):
        _check_number(name, wanted.get(name, 0))
    for name in ("deny", "insufficient_capacity", "fail", "callers", "calls"):
        if not isinstance(wanted.get(name, []), list):
            raise BadWeather(f"`{name}` is a list")
    if wanted.get("kill_when", "after") not in ("before", "after"):
        raise BadWeather("`kill_when` is `before` or `after`")
    if "kill_at" in wanted and (not isinstance(wanted["kill_at"], int) or wanted["kill_at"] < 1):
        raise BadWeather("`kill_at` is a whole number from 1")
    _check_kubernetes(wanted.get("kubernetes", {}))
    return Weather(**wanted)


_AT_THE_DOOR = (
    "latency_ms",
    "throttled",
    "server_error",
    "lost_answer",
    "seed",
    "kill_at",
    "kill_when",
    "unreachable",
    "callers",
)


def _check_kubernetes(wanted):
    if not isinstance(wanted, dict):
        raise BadWeather("`kubernetes` is an object")
    for name, value in wanted.items():
        if name not in _AT_THE_DOOR:
            raise BadWeather(
                f"unknown weather `kubernetes.{name}`; there is {', '.join(_AT_THE_DOOR)}"
            )
        if name in ("throttled", "server_error", "lost_answer"):
            _check_number(f"kubernetes.{name}", value, most=1)
        elif name == "latency_ms":
            _check_number(f"kubernetes.{name}", value)
        elif name in ("kill_at", "seed") and (not isinstance(value, int) or value < 0):
            raise BadWeather(f"`kubernetes.{name}` is a whole number")
        elif name == "kill_when" and value not in ("before", "after"):
            raise BadWeather("`kubernetes.kill_when` is `before` or `after`")
        elif name == "unreachable" and not isinstance(value, bool):
            raise BadWeather("`kubernetes.unreachable` is true or false")
        elif name == "callers" and not isinstance(value, list):
            raise BadWeather("`kubernetes.callers` is a list")


def _check_seconds(name, value):
    if not isinstance(value, dict):
        raise BadWeather(f"`{name}` is an object of kinds and seconds")
    for kind, seconds in value.items():
        if kind not in KINDS:
            raise BadWeather(f"unknown kind `{kind}` in `{name}`; there is {', '.join(KINDS)}")
        _check_number(f"{name}.{kind}", seconds)


def _check_number(name, value, most=None):
    right = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
    if not right or (most is not None and value > most):
        raise BadWeather(f"`{name}` is a number from 0" + (f" to {most}" if most else ""))


class Station:
    """Holds the weather of the moment; `WEATHER.now` is what everybody reads."""

    def __init__(self):
        self.now = Weather()

    def change(self, weather):
        """From now on, this weather."""
        self.now = weather


WEATHER = Station()
