"""Writes the CloudFormation templates of every stage. Run it by `synth.py`, which brings what it needs."""

import aws_cdk as cdk
import cdk_nag
from parameters import Stage
from stacks.argocd import ArgoCdStack
from stacks.budget import BudgetStack
from stacks.cluster import ClusterStack
from stacks.data import DataStack
from stacks.domain import DomainStack
from stacks.identity import IdentityStack
from stacks.monitoring import MonitoringStack
from stacks.network import NetworkStack
from stacks.registry import RegistryStack
from stages import STAGES


def add(app: cdk.App, stage: Stage) -> None:
    """The stage's stacks, in the order in which they are deployed."""
    network = NetworkStack(app, stage)
    if stage.owns_registry:
        RegistryStack(app, stage)
    cluster = ClusterStack(app, stage, network)
    IdentityStack(app, stage, network).add_stack_dependency(cluster)
    for environment in stage.environments:
        DataStack(app, stage, environment, network, cluster)
    if stage.runs_argocd:
        ArgoCdStack(app, stage)
    if stage.domain:
        DomainStack(app, stage, stage.domain)
    MonitoringStack(app, stage, network, cluster)
    BudgetStack(app, stage)


app = cdk.App(analytics_reporting=False)
cdk.Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app, verbose=True))
for stage in STAGES:
    add(app, stage)
app.synth()
