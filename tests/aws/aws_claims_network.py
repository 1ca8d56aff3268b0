"""What the networks promise."""

from __future__ import annotations

from aws_claim import claim

WORLD = ("0.0.0.0/0", "::/0")


@claim
def no_subnet_gives_public_addresses(assembly):
    return (s for s in assembly.all("AWS::EC2::Subnet") if s.get("MapPublicIpOnLaunch") is not False)


@claim
def every_vpc_has_three_subnets_of_each_kind_in_three_zones(assembly):
    for vpc in assembly.all("AWS::EC2::VPC"):
        subnets = [s for s in assembly.all("AWS::EC2::Subnet") if s.stack == vpc.stack]
        for kind in ("Public", "Private", "Database"):
            zones = {s["AvailabilityZone"] for s in subnets if s.id.startswith(kind)}
            if len(zones) != 3:
                yield f"{vpc}: {kind}"


def _routes(assembly, subnet):
    """The default routes of a subnet's route table."""
    for association in assembly.all("AWS::EC2::SubnetRouteTableAssociation"):
        if association.stack == subnet.stack and association["SubnetId"] == {"Ref": subnet.id}:
            table = association["RouteTableId"]
            for route in assembly.all("AWS::EC2::Route"):
                if route.stack == subnet.stack and route["RouteTableId"] == table:
                    yield route


def _subnets(assembly, kind):
    return (s for s in assembly.all("AWS::EC2::Subnet") if s.id.startswith(kind))


@claim
def databases_have_no_way_out(assembly):
    return (s for s in _subnets(assembly, "Database") if list(_routes(assembly, s)))


@claim
def nodes_reach_the_internet_through_nat_only(assembly):
    for subnet in _subnets(assembly, "Private"):
        routes = list(_routes(assembly, subnet))
        if len(routes) != 1 or "NatGatewayId" not in routes[0].body["Properties"]:
            yield subnet


@claim
def flow_logs_record_all_traffic(assembly):
    logged = {
        name
        for log in assembly.all("AWS::EC2::FlowLog")
        if log["TrafficType"] == "ALL" and log["ResourceType"] == "VPC"
        for name in assembly.names(log, log["ResourceId"])
    }
    return (vpc for vpc in assembly.all("AWS::EC2::VPC") if str(vpc) not in logged)


@claim
def logs_are_encrypted_and_end(assembly):
    for group in assembly.all("AWS::Logs::LogGroup"):
        if not group.get("KmsKeyId") or not group.get("RetentionInDays"):
            yield group


@claim
def through_the_s3_endpoint_nothing_is_written(assembly):
    for endpoint in assembly.all("AWS::EC2::VPCEndpoint"):
        if endpoint["VpcEndpointType"] == "Gateway":
            statements = endpoint.get("PolicyDocument", {}).get("Statement", [])
            if [s["Action"] for s in statements] != ["s3:GetObject"]:
                yield endpoint


@claim
def aws_services_are_reached_inside_the_vpc(assembly):
    needed = {"s3", "ecr.api", "ecr.dkr", "secretsmanager"}
    for vpc in assembly.all("AWS::EC2::VPC"):
        endpoints = [e for e in assembly.all("AWS::EC2::VPCEndpoint") if e.stack == vpc.stack]
        if needed - {e["ServiceName"].split(".", 3)[3] for e in endpoints}:
            yield vpc
        yield from (
            e for e in endpoints if e["VpcEndpointType"] == "Interface" and not e["PrivateDnsEnabled"]
        )


def _ingress(assembly):
    """Every ingress rule with the group that it is of."""
    for group in assembly.all("AWS::EC2::SecurityGroup"):
        for rule in group.get("SecurityGroupIngress", []):
            yield group, rule
    for rule in assembly.all("AWS::EC2::SecurityGroupIngress"):
        yield rule, rule.body["Properties"]


def sources(rule):
    return [rule[key] for key in ("CidrIp", "CidrIpv6") if key in rule]


@claim
def only_load_balancers_are_open_to_the_world(assembly):
    for group, rule in _ingress(assembly):
        if any(source in WORLD for source in sources(rule)) and not (
            group.get("GroupName") == "slipway-alb" and rule["FromPort"] == rule["ToPort"] in (80, 443)
        ):
            yield group


@claim
def every_ingress_rule_names_a_port(assembly):
    for group, rule in _ingress(assembly):
        if rule["IpProtocol"] not in ("tcp", "udp") or rule.get("FromPort") != rule.get("ToPort"):
            yield group


@claim
def inside_the_vpc_load_balancers_reach_the_ports_of_pods_alone(assembly):
    for group in assembly.all("AWS::EC2::SecurityGroup"):
        if group["GroupName"] == "slipway-alb":
            private = {s["CidrBlock"] for s in _subnets(assembly, "Private") if s.stack == group.stack}
            for rule in group["SecurityGroupEgress"]:
                pods = rule.get("CidrIp") in private and rule["FromPort"] in (8000, 8501)
                if not pods and rule.get("CidrIp") not in WORLD:
                    yield group


@claim
def no_group_opens_connections_to_everywhere_but_https(assembly):
    for group in assembly.all("AWS::EC2::SecurityGroup"):
        rules = group.get("SecurityGroupEgress", [])
        open_ = [r for r in rules if any(c in WORLD for c in sources(r)) and r.get("ToPort") != 443]
        if not rules or open_:
            yield group
