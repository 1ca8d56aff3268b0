"""An environment's data: PostgreSQL, the security group that its backend Pods wear, its secrets."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from parameters import Environment, Stage

from stacks.cluster import ClusterStack
from stacks.common import (
    ANYWHERE,
    NOT_IN_A_URL,
    StageStack,
    accept,
    admit,
    key,
    made_secret,
    reach,
    security_group,
)
from stacks.network import BACKEND_PORT, NetworkStack

POSTGRES = 5432
_DNS = 53


class DataStack(StageStack):
    """Nothing is shared between environments: own instance, own key, own groups, own secrets."""

    def __init__(
        self,
        app: cdk.App,
        stage: Stage,
        environment: Environment,
        network: NetworkStack,
        cluster: ClusterStack,
    ):
        super().__init__(
            app, stage, "data", f"PostgreSQL and secrets of {environment.name}", owner=environment.name
        )
        self.settings = environment
        self.key = key(
            self,
            "Key",
            f"alias/slipway-{environment.name}-data",
            f"Database and secrets of {environment.name}",
        )
        self.backend, self.rotation, self.server = self._groups(network, cluster)
        self.instance = self._instance(network)
        self._database_secret(network)
        self._application_secrets()

    def _groups(
        self, network: NetworkStack, cluster: ClusterStack
    ) -> tuple[ec2.CfnSecurityGroup, ec2.CfnSecurityGroup, ec2.CfnSecurityGroup]:
        """Backend Pods, the function that rotates the password, and the server, which admits these two."""
        name, vpc, nodes = f"slipway-{self.settings.name}", network.vpc.ref, cluster.cluster_group
        backend = security_group(
            self,
            "BackendGroup",
            vpc,
            name=f"{name}-board-backend",
            description="Backend Pods of the release board",
            ingress=[
                admit(BACKEND_PORT, "Load balancer", group=network.alb.attr_group_id),
                admit(BACKEND_PORT, "Frontend Pods, probes, Argo CD's notifications", group=nodes),
            ],
            egress=[
                reach(_DNS, "CoreDNS", group=nodes, protocol="udp"),
                reach(_DNS, "CoreDNS", group=nodes),
                reach(443, "Git, Argo CD, the registry and AWS", cidr=ANYWHERE),
            ],
        )
        rotation = security_group(
            self,
            "RotationGroup",
            vpc,
            name=f"{name}-rotation",
            description="Rotation of the database password",
            egress=[reach(443, "Secrets Manager and RDS", cidr=ANYWHERE)],
        )
        server = security_group(
            self,
            "ServerGroup",
            vpc,
            name=f"{name}-postgres",
            description="PostgreSQL",
            ingress=[
                admit(POSTGRES, "Backend Pods", group=backend.attr_group_id),
                admit(POSTGRES, "Rotation", group=rotation.attr_group_id),
            ],
        )
        for client, group in (("Backend", backend), ("Rotation", rotation)):
            ec2.CfnSecurityGroupEgress(
                self,
                f"{client}ToPostgres",
                group_id=group.attr_group_id,
                destination_security_group_id=server.attr_group_id,
                ip_protocol="tcp",
                from_port=POSTGRES,
                to_port=POSTGRES,
                description="PostgreSQL",
            )
        for protocol in ("udp", "tcp"):
            ec2.CfnSecurityGroupIngress(
                self,
                f"NodesDns{protocol.title()}",
                group_id=nodes,
                source_security_group_id=backend.attr_group_id,
                ip_protocol=protocol,
                from_port=_DNS,
                to_port=_DNS,
                description=f"Backend Pods of {self.settings.name}",
            )
        cdk.CfnOutput(
            self,
            "BackendGroupId",
            value=backend.attr_group_id,
            description="For the SecurityGroupPolicy in the environment's overlay",
        )
        return backend, rotation, server

    def _instance(self, network: NetworkStack) -> rds.CfnDBInstance:
        name, wanted = f"slipway-{self.settings.name}", self.settings.database
        subnets = rds.CfnDBSubnetGroup(
            self,
            "Subnets",
            db_subnet_group_name=name,
            db_subnet_group_description="Subnets without a way out",
            subnet_ids=network.database,
        )
        parameters = rds.CfnDBParameterGroup(
            self,
            "Parameters",
            db_parameter_group_name=name,
            family="postgres17",
            description="Connections are encrypted and recorded",
            parameters={"rds.force_ssl": "1", "log_connections": "1", "log_disconnections": "1"},
        )
        instance = rds.CfnDBInstance(
            self,
            "Postgres",
            db_instance_identifier=name,
            engine="postgres",
            # Of a new instance; later the minor version moves by itself in the maintenance window.
            engine_version="17.9",
            auto_minor_version_upgrade=True,
            allow_major_version_upgrade=False,
            db_instance_class=wanted.instance_class,
            allocated_storage=str(wanted.allocated_gib),
            max_allocated_storage=wanted.maximum_gib,
            storage_type="gp3",
            storage_encrypted=True,
            kms_key_id=self.key.key_arn,
            db_name="board",
            port=str(POSTGRES),
            master_username="board_admin",
            manage_master_user_password=True,
            master_user_secret=rds.CfnDBInstance.MasterUserSecretProperty(kms_key_id=self.key.key_arn),
            enable_iam_database_authentication=True,
            multi_az=wanted.multi_az,
            publicly_accessible=False,
            db_subnet_group_name=subnets.ref,
            vpc_security_groups=[self.server.attr_group_id],
            db_parameter_group_name=parameters.ref,
            ca_certificate_identifier="rds-ca-rsa2048-g1",
            backup_retention_period=wanted.backup_days,
            preferred_backup_window="01:00-02:00",
            preferred_maintenance_window="tue:03:00-tue:04:00",
            copy_tags_to_snapshot=True,
            delete_automated_backups=False,
            deletion_protection=True,
            enable_cloudwatch_logs_exports=["postgresql", "upgrade"],
        )
        instance.apply_removal_policy(cdk.RemovalPolicy.SNAPSHOT)
        reasons = {
            "AwsSolutions-RDS11": "The port is named by base/components/external-database; another one hides nothing "
            "from whoever the group admits, and the group admits two"
        }
        if not wanted.multi_az:
            reasons["AwsSolutions-RDS3"] = (
                "No user depends on this environment; a zone's failure stops it for a while"
            )
        accept(instance, reasons)
        return instance

    def _database_secret(self, network: NetworkStack) -> None:
        """The application's user. It changes by turns between `board` and `board_clone`.

        So a Pod that started before a rotation goes on with its password, until the rotation after the next.
        """
        self.add_transform("AWS::SecretsManager-2024-09-16")
        secret = self._secret(
            "DatabaseSecret",
            "board-database",
            "The application's PostgreSQL user",
            {
                "engine": "postgres",
                "host": self.instance.attr_endpoint_address,
                "port": POSTGRES,
                "dbname": "board",
                "username": "board",
                "masterarn": self.instance.attr_master_user_secret_secret_arn,
            },
            "password",
        )
        secretsmanager.CfnRotationSchedule(
            self,
            "DatabaseRotation",
            secret_id=secret.ref,
            # Rotation starts by logging in, and the user is made after the stack.
            rotate_immediately_on_update=False,
            rotation_rules=secretsmanager.CfnRotationSchedule.RotationRulesProperty(
                schedule_expression=f"rate({self.settings.database.password_days} days)", duration="2h"
            ),
            hosted_rotation_lambda=secretsmanager.CfnRotationSchedule.HostedRotationLambdaProperty(
                rotation_type="PostgreSQLMultiUser",
                rotation_lambda_name=f"slipway-{self.settings.name}-rotation",
                master_secret_arn=self.instance.attr_master_user_secret_secret_arn,
                master_secret_kms_key_arn=self.key.key_arn,
                kms_key_arn=self.key.key_arn,
                exclude_characters=NOT_IN_A_URL,
                vpc_security_group_ids=self.rotation.attr_group_id,
                vpc_subnet_ids=cdk.Fn.join(",", network.private),
            ),
        )

    def _application_secrets(self) -> None:
        events = self._secret(
            "EventsSecret", "board-events", "What Argo CD's notifications show to the board", {}, "token"
        )
        access = self._secret(
            "AccessSecret",
            "board-access",
            "How the board is read, and how it reads Git and Argo CD; an operator fills in the rest",
            {"git-username": "", "git-password": "", "argocd-token": ""},
            "read-token",
        )
        login = self._secret(
            "SignOnSecret",
            "board-sign-on",
            "The load balancer's client at the identity provider; an operator writes both over",
            {"clientID": ""},
            "clientSecret",
        )
        reason = {
            "AwsSolutions-SMG4": "A token, known to two programs that would have to change at one moment: "
            "the README says how an operator replaces it"
        }
        for secret in (events, access, login):
            accept(secret, reason)

    def _secret(
        self, id_: str, name: str, description: str, fields: dict, generated: str
    ) -> secretsmanager.CfnSecret:
        return made_secret(
            self,
            id_,
            name=f"slipway/{self.settings.name}/{name}",
            description=description,
            encryption=self.key,
            fields=fields,
            generated=generated,
        )
