"""Production: an account and a cluster of its own, and the Argo CD that manages both clusters."""

from parameters import Budget, Cluster, Database, Domain, Environment, Network, NodeGroup, Stage

from stages.common import ARGOCD, CIDR, OFFICE, REGION, REGISTRY, ZONES

PROD = Stage(
    name="prod",
    account="444455556666",
    region=REGION,
    network=Network(
        cidr=CIDR,
        zones=ZONES,
        nat_gateways=3,
        endpoints=("ecr.api", "ecr.dkr", "secretsmanager", "sts", "logs"),
        flow_log_days=365,
    ),
    cluster=Cluster(
        version="1.36",
        public_access_cidrs=(OFFICE,),
        admins=("arn:aws:iam::444455556666:role/slipway-emergency",),
        readers=("arn:aws:iam::444455556666:role/slipway-operators",),
        log_days=365,
        node_groups=(
            NodeGroup(architecture="amd64", instance_types=("m7i.large",), minimum=3, maximum=9, disk_gib=80),
            NodeGroup(
                architecture="arm64",
                instance_types=("m7g.large",),
                minimum=0,
                maximum=6,
                disk_gib=80,
                reserved=True,
            ),
        ),
    ),
    environments=(
        Environment(
            name="prod",
            database=Database(
                instance_class="db.m7g.large",
                allocated_gib=100,
                maximum_gib=500,
                multi_az=True,
                backup_days=35,
                password_days=30,
            ),
        ),
    ),
    registry=REGISTRY,
    argocd=ARGOCD,
    manages=(("111122223333", "nonprod"),),
    domain=Domain(names=("prod.board.example.com",), zone="Z00000000000000000000"),
    budget=Budget(monthly=1500, email="platform@example.com"),
)
