"""The load balancer controller's manifests and its webhook's certificate."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from slipway.platform import images, loadbalancer

SERVICE = "aws-load-balancer-webhook-service.kube-system.svc"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> loadbalancer.Tls:
    return loadbalancer.webhook_tls(tmp_path_factory.mktemp("tls") / "new")


@pytest.fixture(scope="module")
def objects(tls: loadbalancer.Tls, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """Kind to object, of what is applied."""
    workspace = tmp_path_factory.mktemp("workspace")
    text = loadbalancer.manifests(tls, "http://10.250.1.1:4566", "vpc-1234", workspace)
    assert list(workspace.iterdir()) == [], "the key must not stay behind"
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def test_the_webhooks_trust_the_certificate_they_meet(
    objects: dict[str, dict], tls: loadbalancer.Tls
) -> None:
    """Every webhook's caBundle is the authority that signed what the Secret gives the controller."""
    bundle = base64.b64encode(tls.authority).decode()
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        for webhook in objects[kind]["webhooks"]:
            assert webhook["clientConfig"]["caBundle"] == bundle
            assert webhook["failurePolicy"] == "Fail"
    assert base64.b64decode(objects["Secret"]["data"]["tls.crt"]) == tls.certificate


def test_the_certificate_is_for_the_service_and_signed_by_the_authority(
    tls: loadbalancer.Tls, tmp_path: Path
) -> None:
    """OpenSSL accepts it for the name that the API server uses, and the key belongs to it."""
    pair = tmp_path / "pair.pem"
    pair.write_bytes(tls.certificate + tls.key)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(pair)
    client.load_verify_locations(cadata=tls.authority.decode())
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(to_client, to_server, server_hostname=SERVICE)
    there = server.wrap_bio(to_server, to_client, server_side=True)
    ends = [here, there]
    for _ in range(10):
        for end in list(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                pass
    assert ends == []


def test_the_certificate_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    """A second start uses the first one's; a broken pair of files is replaced; nobody else can read the key."""
    folder = tmp_path / "tls"
    made = loadbalancer.webhook_tls(folder)
    assert loadbalancer.webhook_tls(folder) == made
    assert (folder / "tls.key").stat().st_mode & 0o077 == 0
    (folder / "ca.crt").unlink()
    again = loadbalancer.webhook_tls(folder)
    assert again != made
    assert (
        x509.load_pem_x509_certificate(again.certificate).issuer
        == x509.load_pem_x509_certificate(again.authority).subject
    )


def test_the_controller_talks_to_this_machine(objects: dict[str, dict]) -> None:
    """Address, network and image are this machine's, and the ConfigMap that carried them is not applied."""
    assert "ConfigMap" not in objects
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    assert (environment["AWS_URL"], environment["VPC_ID"]) == ("http://10.250.1.1:4566", "vpc-1234")
    assert container["image"] == images.CONTROLLER_IMAGE
    for argument in container["args"]:
        for name in environment:
            argument = argument.replace(f"$({name})", environment[name])
        assert "$(" not in argument
    assert pod["volumes"][0]["secret"]["secretName"] == objects["Secret"]["metadata"]["name"]


def test_the_service_leads_to_the_controller(objects: dict[str, dict]) -> None:
    """Selector, port name and account fit together."""
    template = objects["Deployment"]["spec"]["template"]
    service = objects["Service"]["spec"]
    assert service["selector"].items() <= template["metadata"]["labels"].items()
    ports = {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0]["ports"]}
    assert ports[service["ports"][0]["targetPort"]] == 9443
    subject = objects["ClusterRoleBinding"]["subjects"][0]
    assert (
        subject["name"]
        == objects["ServiceAccount"]["metadata"]["name"]
        == template["spec"]["serviceAccountName"]
    )
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        for webhook in objects[kind]["webhooks"]:
            assert webhook["clientConfig"]["service"]["name"] == objects["Service"]["metadata"]["name"]
