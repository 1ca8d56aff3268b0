"""The VPC: three zones, each with a public, a private and a database subnet, and the load balancers' group."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from parameters import Stage, Zone

from stacks.common import ANYWHERE, StageStack, accept, admit, key, reach, security_group

ALB = "slipway-alb"
"""The name by which base/board/ingress.yaml asks for the group."""
BACKEND_PORT, FRONTEND_PORT = 8000, 8501


class NetworkStack(StageStack):
    """Databases have no route out, nodes one through NAT, and only load balancers have public addresses."""

    def __init__(self, app: cdk.App, stage: Stage):
        super().__init__(app, stage, "network", f"VPC of {stage.cluster_name}")
        self.stage = stage
        accept(
            self, {"CloudFormation-Validate::W3010": "Zones are parameters, so that synthesis asks nobody"}
        )
        self.vpc = ec2.CfnVPC(
            self,
            "Vpc",
            cidr_block=str(stage.network.cidr),
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags=[cdk.CfnTag(key="Name", value=stage.cluster_name)],
        )
        self._flow_logs()
        public = self._public_routes()
        self.public: list[str] = []
        self.private: list[str] = []
        self.database: list[str] = []
        gateways: list[str] = []
        isolated = ec2.CfnRouteTable(self, "DatabaseRoutes", vpc_id=self.vpc.ref)
        tables = [public, isolated]
        for place, zone in enumerate(stage.network.zones):
            subnet = self._subnet(zone, "public", public)
            self.public.append(subnet)
            if place < stage.network.nat_gateways:
                gateways.append(self._gateway(zone, subnet))
            routes = self._private_routes(zone, gateways[-1])
            self.private.append(self._subnet(zone, "private", routes))
            self.database.append(self._subnet(zone, "database", isolated))
            tables.append(routes)
        self._endpoints(tables)
        self.alb = self._load_balancers()

    def _flow_logs(self) -> None:
        name = f"/slipway/{self.stage.name}/flow-logs"
        encryption = key(
            self, "LogKey", f"alias/slipway-{self.stage.name}-flow-logs", "Encrypts the flow logs"
        )
        service = iam.ServicePrincipal(f"logs.{self.region}.amazonaws.com")
        group_arn = f"arn:aws:logs:{self.region}:{self.account}:log-group:{name}"
        encryption.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[service],
                actions=["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey*", "kms:DescribeKey"],
                resources=["*"],
                conditions={"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": group_arn}},
            )
        )
        group = logs.CfnLogGroup(
            self,
            "FlowLogGroup",
            log_group_name=name,
            retention_in_days=self.stage.network.flow_log_days,
            kms_key_id=encryption.key_arn,
        )
        writer = iam.Role(
            self,
            "FlowLogWriter",
            assumed_by=iam.ServicePrincipal(
                "vpc-flow-logs.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            ),
            inline_policies={
                "write": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(
                            actions=["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
                            resources=[f"{group_arn}:*"],
                        )
                    ]
                )
            },
        )
        accept(
            writer,
            {
                f"AwsSolutions-IAM5[Resource::{group_arn}:*]": "A log group's streams have names that AWS makes up"
            },
        )
        flow_log = ec2.CfnFlowLog(
            self,
            "FlowLog",
            resource_id=self.vpc.ref,
            resource_type="VPC",
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_group_name=name,
            deliver_logs_permission_arn=writer.role_arn,
        )
        flow_log.add_resource_dependency(group)

    def _public_routes(self) -> ec2.CfnRouteTable:
        gateway = ec2.CfnInternetGateway(self, "InternetGateway")
        attached = ec2.CfnVPCGatewayAttachment(
            self, "InternetGatewayAttachment", vpc_id=self.vpc.ref, internet_gateway_id=gateway.ref
        )
        table = ec2.CfnRouteTable(self, "PublicRoutes", vpc_id=self.vpc.ref)
        route = ec2.CfnRoute(
            self,
            "PublicDefault",
            route_table_id=table.ref,
            destination_cidr_block=ANYWHERE,
            gateway_id=gateway.ref,
        )
        route.add_resource_dependency(attached)
        return table

    def _subnet(self, zone: Zone, role: str, table: ec2.CfnRouteTable) -> str:
        """One subnet; the load balancer controller finds the public and the private ones by their tags."""
        letter = zone.name[-1]
        tags = {"Name": f"{self.stage.cluster_name}-{role}-{letter}"}
        tags |= {
            "public": {"kubernetes.io/role/elb": "1"},
            "private": {"kubernetes.io/role/internal-elb": "1"},
            "database": {},
        }[role]
        subnet = ec2.CfnSubnet(
            self,
            f"{role.title()}{letter.upper()}",
            vpc_id=self.vpc.ref,
            availability_zone=zone.name,
            cidr_block=str(getattr(zone, role)),
            map_public_ip_on_launch=False,
            tags=[cdk.CfnTag(key=key_, value=value) for key_, value in tags.items()],
        )
        ec2.CfnSubnetRouteTableAssociation(
            self, f"{role.title()}{letter.upper()}Routes", subnet_id=subnet.ref, route_table_id=table.ref
        )
        return subnet.ref

    def _gateway(self, zone: Zone, subnet: str) -> str:
        letter = zone.name[-1].upper()
        address = ec2.CfnEIP(self, f"NatAddress{letter}", domain="vpc")
        cdk.CfnOutput(
            self, f"NatAddress{letter}Output", value=address.ref, description="Other clusters admit it"
        )
        gateway = ec2.CfnNatGateway(
            self, f"Nat{letter}", subnet_id=subnet, allocation_id=address.attr_allocation_id
        )
        return gateway.ref

    def _private_routes(self, zone: Zone, gateway: str) -> ec2.CfnRouteTable:
        letter = zone.name[-1].upper()
        table = ec2.CfnRouteTable(self, f"PrivateRoutes{letter}", vpc_id=self.vpc.ref)
        ec2.CfnRoute(
            self,
            f"PrivateDefault{letter}",
            route_table_id=table.ref,
            destination_cidr_block=ANYWHERE,
            nat_gateway_id=gateway,
        )
        return table

    def _endpoints(self, tables: list[ec2.CfnRouteTable]) -> None:
        """AWS services without the way over the internet; S3, where image layers lie, can be read only."""
        group = security_group(
            self,
            "EndpointGroup",
            self.vpc.ref,
            name=f"{self.stage.cluster_name}-endpoints",
            description="AWS services inside the VPC",
            ingress=[
                admit(443, "Nodes, Pods and functions", cidr=str(zone.private))
                for zone in self.stage.network.zones
            ],
        )
        ec2.CfnVPCEndpoint(
            self,
            "EndpointS3",
            vpc_id=self.vpc.ref,
            service_name=f"com.amazonaws.{self.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.ref for table in tables],
            policy_document={
                "Version": "2012-10-17",
                "Statement": [
                    {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}
                ],
            },
        )
        for service in self.stage.network.endpoints:
            ec2.CfnVPCEndpoint(
                self,
                "Endpoint" + service.title().replace(".", ""),
                vpc_id=self.vpc.ref,
                service_name=f"com.amazonaws.{self.region}.{service}",
                vpc_endpoint_type="Interface",
                private_dns_enabled=True,
                subnet_ids=self.private,
                security_group_ids=[group.ref],
            )

    def _load_balancers(self) -> ec2.CfnSecurityGroup:
        """Open to the world on the web's two ports; towards the inside only to the ports that Pods serve on."""
        zones = self.stage.network.zones
        group = security_group(
            self,
            "LoadBalancerGroup",
            self.vpc.ref,
            name=ALB,
            description="Load balancers",
            ingress=[admit(port, "Users", cidr=ANYWHERE) for port in (80, 443)],
            egress=[
                reach(port, "Pods", cidr=str(zone.private))
                for zone in zones
                for port in (BACKEND_PORT, FRONTEND_PORT)
            ]
            + [reach(443, "The sign-on's token endpoint", cidr=ANYWHERE)],
        )
        accept(
            group,
            {
                "AwsSolutions-EC23": "A public web page; port 80 only answers with the way to port 443",
            },
        )
        return group
