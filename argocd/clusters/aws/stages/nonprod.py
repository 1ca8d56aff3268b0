"""Development and staging: one account, one cluster, and the registry that the pipeline pushes to."""

from ipaddress import IPv4Network

from parameters import Budget, Cluster, Database, Environment, Network, NodeGroup, Stage

from stages.common import ARGOCD, CIDR, OFFICE, REGION, REGISTRY, ZONES

_SMALL = Database(
    instance_class="db.t4g.micro",
    allocated_gib=20,
    maximum_gib=50,
    multi_az=False,
    backup_days=7,
    password_days=30,
)

NONPROD = Stage(
    name="nonprod",
    account="111122223333",
    region=REGION,
    network=Network(
        cidr=CIDR,
        zones=ZONES,
        nat_gateways=1,
        endpoints=("ecr.api", "ecr.dkr", "secretsmanager"),
        flow_log_days=30,
    ),
    cluster=Cluster(
        version="1.36",
        # The last one is prod's three NAT gateways, from behind which its Argo CD comes.
        public_access_cidrs=(OFFICE, IPv4Network("198.51.100.0/29")),
        admins=("arn:aws:iam::111122223333:role/slipway-emergency",),
        readers=("arn:aws:iam::111122223333:role/slipway-developers",),
        log_days=90,
        node_groups=(
            NodeGroup(
                architecture="amd64", instance_types=("m7i-flex.large",), minimum=2, maximum=6, disk_gib=50
            ),
            NodeGroup(
                architecture="arm64",
                instance_types=("m7g.large",),
                minimum=0,
                maximum=4,
                disk_gib=50,
                reserved=True,
            ),
        ),
    ),
    environments=(
        Environment(name="dev", database=_SMALL),
        Environment(name="staging", database=_SMALL),
    ),
    registry=REGISTRY,
    image_readers=("444455556666",),
    argocd=ARGOCD,
    budget=Budget(monthly=600, email="platform@example.com"),
)
