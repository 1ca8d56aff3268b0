"""The certificate for the names that the load balancer answers to, proven by records in a Route 53 zone."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from parameters import Domain, Stage

from stacks.common import StageStack


class DomainStack(StageStack):
    """Made only for a stage with a domain; others name a certificate that exists already in their Ingress."""

    def __init__(self, app: cdk.App, stage: Stage, domain: Domain):
        super().__init__(app, stage, "domain", f"Certificate of {stage.name}")
        first, *others = domain.names
        certificate = acm.CfnCertificate(
            self,
            "Certificate",
            domain_name=first,
            subject_alternative_names=others or None,
            validation_method="DNS",
            domain_validation_options=[
                acm.CfnCertificate.DomainValidationOptionProperty(
                    domain_name=name, hosted_zone_id=domain.zone
                )
                for name in domain.names
            ],
            key_algorithm="EC_prime256v1",
        )
        cdk.CfnOutput(self, "CertificateArn", value=certificate.ref, description="For the Ingress annotation")
