"""What a stage may say about itself. Unknown names, overlapping networks and open doors are refused before synthesis."""

from __future__ import annotations

from ipaddress import IPv4Network
from itertools import combinations
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Account = Annotated[str, Field(pattern=r"^\d{12}$")]
Arn = Annotated[str, Field(pattern=r"^arn:aws:[a-z0-9-]+:[a-z0-9-]*:\d{12}:.+$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,20}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Zone(_Strict):
    """One availability zone and its three subnets."""

    name: str
    public: IPv4Network
    private: IPv4Network
    database: IPv4Network


class Network(_Strict):
    """The VPC. With fewer gateways than zones, zones share the last gateway."""

    cidr: IPv4Network
    zones: Annotated[tuple[Zone, ...], Field(min_length=3, max_length=3)]
    nat_gateways: Annotated[int, Field(ge=1, le=3)]
    endpoints: tuple[str, ...]
    """AWS services reached inside the VPC; each costs by zone and hour."""
    flow_log_days: int

    @model_validator(mode="after")
    def _disjoint(self) -> Network:
        subnets = [subnet for zone in self.zones for subnet in (zone.public, zone.private, zone.database)]
        if outside := [str(subnet) for subnet in subnets if not subnet.subnet_of(self.cidr)]:
            raise ValueError(f"outside {self.cidr}: {', '.join(outside)}")
        if shared := [f"{one} and {other}" for one, other in combinations(subnets, 2) if one.overlaps(other)]:
            raise ValueError(f"subnets overlap: {', '.join(shared)}")
        return self


class NodeGroup(_Strict):
    """Nodes of one architecture; a reserved group takes only Pods that tolerate `architecture=<its own>`."""

    architecture: Literal["amd64", "arm64"]
    instance_types: Annotated[tuple[str, ...], Field(min_length=1)]
    minimum: Annotated[int, Field(ge=0)]
    maximum: Annotated[int, Field(ge=1)]
    disk_gib: Annotated[int, Field(ge=20)]
    reserved: bool = False

    @model_validator(mode="after")
    def _nitro(self) -> NodeGroup:
        if burstable := [kind for kind in self.instance_types if kind.startswith("t")]:
            raise ValueError(f"no network interface of their own for Pods on {', '.join(burstable)}")
        return self


class Cluster(_Strict):
    """The EKS cluster: who reaches its API from where, and what it runs on."""

    version: Annotated[str, Field(pattern=r"^1\.\d+$")]
    public_access_cidrs: Annotated[tuple[IPv4Network, ...], Field(min_length=1)]
    admins: tuple[Arn, ...]
    """Roles for emergencies: whoever assumes one may do everything, and is seen doing it."""
    readers: tuple[Arn, ...]
    log_days: int
    node_groups: Annotated[tuple[NodeGroup, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _restricted(self) -> Cluster:
        if wide := [str(cidr) for cidr in self.public_access_cidrs if cidr.prefixlen < 24]:
            raise ValueError(f"too wide for an API server: {', '.join(wide)}")
        return self


class Database(_Strict):
    """The PostgreSQL of an environment."""

    instance_class: Annotated[str, Field(pattern=r"^db\.")]
    allocated_gib: Annotated[int, Field(ge=20)]
    maximum_gib: Annotated[int, Field(ge=20)]
    multi_az: bool
    backup_days: Annotated[int, Field(ge=1, le=35)]
    password_days: Annotated[int, Field(ge=1, le=90)]


class Environment(_Strict):
    """One environment; its name is its namespace and its folder under overlays."""

    name: Name
    database: Database


class Registry(_Strict):
    """The repositories of images, and for how long those are kept that Git does not need."""

    account: Account
    repositories: Annotated[tuple[str, ...], Field(min_length=1)]
    keep_days: Annotated[int, Field(ge=1)]


class Domain(_Strict):
    """A certificate for the names in a Route 53 zone."""

    names: Annotated[tuple[str, ...], Field(min_length=1)]
    zone: Annotated[str, Field(pattern=r"^Z[A-Z0-9]+$")]


class Budget(_Strict):
    """When to write to whom; US dollars a month."""

    monthly: Annotated[int, Field(gt=0)]
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]


class Stage(_Strict):
    """An AWS account with one cluster."""

    name: Name
    account: Account
    region: str
    network: Network
    cluster: Cluster
    environments: Annotated[tuple[Environment, ...], Field(min_length=1)]
    registry: Registry
    """Made here when the account is this one, else only read."""
    image_readers: tuple[Account, ...] = ()
    argocd: tuple[Account, Name]
    """Account and stage whose Argo CD manages this cluster."""
    manages: tuple[tuple[Account, Name], ...] = ()
    """Account and stage of the other clusters that the Argo CD here manages."""
    domain: Domain | None = None
    budget: Budget

    @property
    def cluster_name(self) -> str:
        return f"slipway-{self.name}"

    @property
    def owns_registry(self) -> bool:
        return self.registry.account == self.account

    @property
    def runs_argocd(self) -> bool:
        return self.argocd == (self.account, self.name)
