"""Installs the AWS Load Balancer Controller into the cluster: certificate of its webhook, manifests, readiness."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import httpx
from botocore.exceptions import BotoCoreError, ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from slipway import kustomize
from slipway.errors import Unreachable
from slipway.kubectl import Cluster

NAMESPACE = "kube-system"
NAME = "aws-load-balancer-controller"
MANIFESTS = Path(__file__).parent / "manifests" / NAME
_SERVICE = "aws-load-balancer-webhook-service"
_SECRET = "aws-load-balancer-webhook-tls"
_VALID = timedelta(days=3650)
_RENEW = timedelta(days=365)


def install(cluster: Cluster, crds: Path, aws_url: str, state: Path) -> None:
    """Apply CRDs and controller; does not wait for its Pod.

    `crds` is the crds.yaml of the controller's module. The AWS API must run; its VPC is read from it.
    """
    cluster.apply(crds.read_text())
    names = ("crd/targetgroupbindings.elbv2.k8s.aws", "crd/ingressclassparams.elbv2.k8s.aws")
    cluster.wait("--for=condition=Established", *names, seconds=30)
    cluster.apply(manifests(webhook_tls(state / NAME), aws_url, vpc_id(aws_url), state / NAME))


def wait(cluster: Cluster, seconds: int = 120) -> None:
    """Wait until the controller's webhook listens: before that no Ingress and no gated Pod can be created."""
    cluster.rolled_out(NAMESPACE, f"deployment/{NAME}", seconds)


def heal(cluster: Cluster, aws_url: str) -> bool:
    """Restart the controller if the AWS API lost what the cluster's bindings point to; True when it had.

    The controller remembers for minutes what it registered; only a new one writes everything again.
    """
    bindings = cluster.get("targetgroupbindings.elbv2.k8s.aws", "--all-namespaces")["items"]
    wanted = {binding["spec"]["targetGroupARN"] for binding in bindings}
    try:
        groups = httpx.get(f"{aws_url}/slipway/elbv2", timeout=10).raise_for_status().json()["TargetGroups"]
    except httpx.HTTPError as exc:
        raise Unreachable(f"the AWS API at {aws_url} does not answer: {exc}") from exc
    if wanted <= {group["TargetGroupArn"] for group in groups}:
        return False
    cluster.kubectl("--namespace", NAMESPACE, "rollout", "restart", f"deployment/{NAME}")
    return True


@retry(
    retry=retry_if_exception_type(Unreachable),
    stop=stop_after_delay(30),
    wait=wait_fixed(0.5),
    reraise=True,
)
def vpc_id(aws_url: str) -> str:
    """The VPC that the AWS API was seeded with; waits for the API, raises `Unreachable` after 30 s."""
    keys = {"aws_access_key_id": "emulator", "aws_secret_access_key": "emulator"}
    ec2 = boto3.client("ec2", endpoint_url=aws_url, region_name="eu-central-1", **keys)
    try:
        vpcs = ec2.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["slipway"]}])["Vpcs"]
    except (BotoCoreError, ClientError) as exc:
        raise Unreachable(f"the AWS API at {aws_url} does not answer: {exc}") from exc
    if len(vpcs) != 1:
        raise Unreachable(f"the AWS API at {aws_url} has {len(vpcs)} networks named slipway, not one")
    return vpcs[0]["VpcId"]


@dataclass(frozen=True)
class Tls:
    """PEM texts: the authority that the API server trusts, and the webhook's certificate and key."""

    authority: bytes
    certificate: bytes
    key: bytes


def webhook_tls(folder: Path) -> Tls:
    """The webhook's certificate, made once and kept in `folder`; renewed in the last year of its ten."""
    files = [folder / name for name in ("ca.crt", "tls.crt", "tls.key")]
    if all(file.is_file() for file in files):
        kept = Tls(*(file.read_bytes() for file in files))
        if x509.load_pem_x509_certificate(kept.certificate).not_valid_after_utc > datetime.now(UTC) + _RENEW:
            return kept
    made = _issue(datetime.now(UTC))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for file, content in zip(files, (made.authority, made.certificate, made.key), strict=True):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
    return made


def _issue(now: datetime) -> Tls:
    """A certificate for the Service's names, signed by an authority whose key is thrown away."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = _name(f"{NAME} webhook authority")
    authority = (
        _builder(issuer, issuer, authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    names = [f"{_SERVICE}.{NAMESPACE}.svc", f"{_SERVICE}.{NAMESPACE}.svc.cluster.local"]
    certificate = (
        _builder(_name(names[0]), issuer, key.public_key(), now)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Tls(authority.public_bytes(Encoding.PEM), certificate.public_bytes(Encoding.PEM), secret)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + _VALID)


def manifests(tls: Tls, aws_url: str, vpc: str, workspace: Path) -> str:
    """The controller's manifests with this machine's values; they hold the webhook's key."""
    files = {"ca.crt": tls.authority, "tls.crt": tls.certificate, "tls.key": tls.key}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": _SECRET, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/name": NAME}},
        "type": "kubernetes.io/tls",
        "data": {name: base64.b64encode(content).decode() for name, content in files.items()},
    }
    settings = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{NAME}-settings",
            "namespace": NAMESPACE,
            "annotations": {"config.kubernetes.io/local-config": "true"},
        },
        "data": {"aws-url": aws_url, "vpc-id": vpc},
    }
    with tempfile.TemporaryDirectory() as folder:
        objects = Path(folder) / "objects.yaml"
        objects.write_text("\n---\n".join(map(json.dumps, (secret, settings))))
        return kustomize.build_with([objects], [MANIFESTS], workspace)
