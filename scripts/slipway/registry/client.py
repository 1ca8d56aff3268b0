"""The border to image registries: what a reference is, asked through the OCI distribution API."""

from __future__ import annotations

import base64
import hashlib
import json
import netrc
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import certifi
import httpx
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from slipway.errors import CommandFailed, ImageNotFound, InvalidInput, RemoteRefused, ToolError, Unreachable
from slipway.pipeline.mirrors import Place, place
from slipway.proc import run
from slipway.registry.references import Reference
from slipway.writing.lineage import parse_time

INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_ACCEPT = {"Accept": ", ".join(INDEXES + MANIFESTS)}
_LABELS = "org.opencontainers.image."
ECR = re.compile(r"(\d{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
_DOCKER_HUB = "registry-1.docker.io"
_LIMIT = 4 << 20
"""Bytes; no manifest or image configuration is larger."""


@dataclass(frozen=True)
class Image:
    """An image as the registry has it; for an index the labels and the time are those of its first image."""

    reference: Reference
    digest: str
    media_type: str
    architectures: tuple[str, ...]
    created: datetime | None
    labels: Mapping[str, str]
    size: int = 0
    """Bytes of the compressed layers; for an index those of its first image."""

    @property
    def revision(self) -> str | None:
        """The source commit that its label names."""
        return self.labels.get(_LABELS + "revision")


class _Verifying(ssl.SSLContext):
    """Verifies servers as httpx does; reads the authorities, which takes long, when the first connection needs them."""

    _ready = False

    def wrap_socket(self, *arguments, **options) -> ssl.SSLSocket:
        self._read()
        return super().wrap_socket(*arguments, **options)

    def wrap_bio(self, *arguments, **options) -> ssl.SSLObject:
        self._read()
        return super().wrap_bio(*arguments, **options)

    def _read(self) -> None:
        if not self._ready:
            file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
            self.load_verify_locations(
                file or (None if folder else certifi.where()), None if file else folder
            )
            self._ready = True


class Registry:
    """Registries, reached by the names in references; a context manager that owns its connections.

    SLIPWAY_REGISTRY_MIRRORS sends a host's traffic elsewhere. Credentials come from SLIPWAY_REGISTRY_USERNAME and
    _PASSWORD, from Docker's configuration and its helpers, from netrc, or with `ecr` from the AWS identity here.
    """

    def __init__(self, *, ecr: bool = False, env: Mapping[str, str] = os.environ):
        self.env, self.ecr = env, ecr
        context, timeout = _Verifying(ssl.PROTOCOL_TLS_CLIENT), httpx.Timeout(30, connect=10)
        self._client = httpx.Client(verify=context, timeout=timeout, follow_redirects=True)
        self._authorization: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def resolve(self, reference: Reference) -> Image:
        """The image that a tag or digest names; with both, the tag must still name that digest.

        Raises `ImageNotFound` when the registry has it not (or has another one), `RemoteRefused` without access or
        for bytes that are not what they claim, `Unreachable` without an answer.
        """
        where = place(_with_host(reference), self.env)
        body, media_type = self._manifest(where, reference, reference.tag or reference.digest)
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        if reference.digest and digest != reference.digest:
            message = f"{reference.name}:{reference.tag} is {digest} in the registry, not {reference.digest}"
            raise ImageNotFound(message, fix="the tag was pushed again; name the image that was tested")
        manifest = _parsed(body, reference)
        media_type = manifest.get("mediaType") or media_type
        if media_type not in INDEXES + MANIFESTS:
            raise RemoteRefused(f"{reference} is a {media_type or 'thing without a type'}, not an image")
        architectures: tuple[str, ...] = ()
        first, annotations = manifest, manifest.get("annotations") or {}
        if media_type in INDEXES:
            runnable = [
                m for m in manifest.get("manifests", []) if _architecture(m.get("platform")) != "unknown"
            ]
            architectures = tuple(dict.fromkeys(_architecture(m.get("platform")) for m in runnable))
            if not runnable:
                raise RemoteRefused(f"{reference} is an index without images")
            inner = Reference(reference.name, None, runnable[0]["digest"])
            first = _parsed(self._verified(where, inner, "manifests"), inner)
        config = self._config(where, reference.name, first)
        labels = {**(config.get("config", {}).get("Labels") or {}), **annotations}
        created = parse_time(config.get("created")) or parse_time(labels.get(_LABELS + "created"))
        architectures = architectures or (_architecture(config),)
        return Image(
            Reference(reference.name, reference.tag, digest),
            digest,
            media_type,
            architectures,
            created,
            labels,
            sum(layer.get("size", 0) for layer in first.get("layers") or []),
        )

    def document(self, image: Reference, path: str) -> dict:
        """The JSON object below the image's repository at a path such as `manifests/<digest>`; raises as `ask`."""
        return _parsed(self.ask(place(_with_host(image), self.env), path, image).content, image)

    def _manifest(self, where: Place, reference: Reference, name: str) -> tuple[bytes, str]:
        answer = self.ask(where, f"manifests/{name}", reference)
        told = answer.headers.get("docker-content-digest")
        if (
            told
            and told.startswith("sha256:")
            and told != "sha256:" + hashlib.sha256(answer.content).hexdigest()
        ):
            raise RemoteRefused(
                f"{reference}: the registry says {told}, its bytes are something else", fix="ask its operator"
            )
        return answer.content, answer.headers.get("content-type", "").partition(";")[0]

    def _verified(self, where: Place, reference: Reference, kind: str) -> bytes:
        body = self.ask(where, f"{kind}/{reference.digest}", reference).content
        if "sha256:" + hashlib.sha256(body).hexdigest() != reference.digest:
            raise RemoteRefused(f"{reference}: the registry sent other bytes", fix="ask its operator")
        return body

    def _config(self, where: Place, name: str, manifest: dict) -> dict:
        digest = (manifest.get("config") or {}).get("digest")
        if not digest:
            return {}
        wanted = Reference(name, None, digest)
        return _parsed(self._verified(where, wanted, "blobs"), wanted)

    @retry(
        retry=retry_if_exception_type(Unreachable),
        stop=stop_after_attempt(4),
        wait=wait_random_exponential(multiplier=0.1, max=4),
        reraise=True,
    )
    def ask(
        self, where: Place, path: str, reference: Reference, method: str = "GET", **options
    ) -> httpx.Response:
        """One call of the distribution API below `/v2/<repository>/`, logged in where that is asked for.

        `reference` is what errors speak of, which are those of `resolve`; `options` go to httpx.
        """
        host = urlsplit(where.url).netloc
        url = f"{where.url}/v2/{where.repository}/{path}"
        key = (host, where.repository)
        answer = self._send(url, self._authorization.get(key), method, **options)
        if answer.status_code == 401 and (
            value := self._login(host, answer.headers.get("www-authenticate", ""))
        ):
            self._authorization[key] = value
            answer = self._send(url, value, method, **options)
        if answer.status_code == 404:
            raise ImageNotFound(
                f"{reference} is not in the registry ({host})", fix="push it first, or correct the reference"
            )
        if answer.status_code in (401, 403):
            fix = f"log in: `docker login {host}`, or set SLIPWAY_REGISTRY_USERNAME and SLIPWAY_REGISTRY_PASSWORD"
            raise RemoteRefused(f"the registry {host} refuses {reference} ({answer.status_code})", fix=fix)
        if answer.status_code == 429 or answer.status_code >= 500:
            raise Unreachable(f"the registry {host} answers {answer.status_code}", fix="try again later")
        if not answer.is_success or len(answer.content) > _LIMIT:
            raise RemoteRefused(
                f"the registry {host} answers {answer.status_code} for {reference}", fix="check its address"
            )
        return answer

    def _send(self, url: str, authorization: str | None, method: str = "GET", **options) -> httpx.Response:
        headers = _ACCEPT | options.pop("headers", {})
        headers |= {"Authorization": authorization} if authorization else {}
        try:
            return self._client.request(method, url, headers=headers, **options)
        except httpx.TransportError as exc:
            where = "{0.scheme}://{0.netloc}".format(urlsplit(url))
            fix = "check its address, the network, and SLIPWAY_REGISTRY_MIRRORS"
            raise Unreachable(f"the registry {where} does not answer: {exc}", fix=fix) from exc

    def _login(self, host: str, challenge: str) -> str | None:
        """The Authorization header that answers a challenge, None when there is nothing to answer with."""
        scheme, _, rest = challenge.partition(" ")
        fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        pair = self.credentials(host)
        basic = "Basic " + base64.b64encode(":".join(pair).encode()).decode() if pair else None
        if scheme.lower() == "basic":
            return basic
        if scheme.lower() != "bearer" or "realm" not in fields:
            return None
        query = {key: fields[key] for key in ("service", "scope") if key in fields}
        answer = self._send(str(httpx.URL(fields["realm"]).copy_merge_params(query)), basic)
        if answer.status_code != 200:
            return None
        token = answer.json().get("token") or answer.json().get("access_token")
        return f"Bearer {token}" if token else None

    def credentials(self, host: str) -> tuple[str, str] | None:
        """User and password for a registry's host, None to stay anonymous."""
        if self.env.get("SLIPWAY_REGISTRY_USERNAME"):
            return self.env["SLIPWAY_REGISTRY_USERNAME"], self.env.get("SLIPWAY_REGISTRY_PASSWORD", "")
        if self.ecr and (found := ECR.fullmatch(host)):
            return _ecr_token(found[1], found[2])
        return self._from_docker(host) or _from_netrc(host)

    def _from_docker(self, host: str) -> tuple[str, str] | None:
        path = Path(self.env.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
        try:
            config = json.loads(path.read_text()) if path.is_file() else {}
        except (OSError, ValueError) as exc:
            raise InvalidInput(
                "Docker's configuration cannot be read", path=path, fix="correct or remove it"
            ) from exc
        name = "https://index.docker.io/v1/" if host == _DOCKER_HUB else host
        if helper := config.get("credHelpers", {}).get(name) or config.get("credsStore"):
            return _from_helper(helper, name)
        auths = config.get("auths", {})
        entry = auths.get(name) or auths.get(f"https://{name}") or {}
        if not entry.get("auth"):
            return None
        user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        return user, password


def _from_helper(helper: str, name: str) -> tuple[str, str] | None:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", helper):
        raise InvalidInput(
            f"{helper!r} is not the name of a credential helper", fix="correct Docker's configuration"
        )
    try:
        done = run([f"docker-credential-{helper}", "get"], input=name, timeout=30)
        answer = json.loads(done.stdout)
    except ToolError as exc:
        raise ToolError(
            f"docker-credential-{helper} is not installed", fix="install it, or log in otherwise"
        ) from exc
    except (CommandFailed, ValueError):
        return None
    return answer.get("Username", ""), answer.get("Secret", "")


def _from_netrc(host: str) -> tuple[str, str] | None:
    try:
        found = netrc.netrc().authenticators(host.partition(":")[0])
    except (OSError, netrc.NetrcParseError):
        return None
    return (found[0], found[2] or "") if found else None


def _ecr_token(account: str, region: str) -> tuple[str, str]:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = boto3.client("ecr", region_name=region).get_authorization_token(registryIds=[account])
    except (BotoCoreError, ClientError) as exc:
        raise RemoteRefused(
            f"no token for ECR in {region}: {exc}", fix="give this process an AWS identity"
        ) from exc
    user, _, password = (
        base64.b64decode(answer["authorizationData"][0]["authorizationToken"]).decode().partition(":")
    )
    return user, password


def _with_host(reference: Reference) -> str:
    host = _DOCKER_HUB if reference.registry == "docker.io" else reference.registry
    return f"{host}/{reference.repository}"


def _architecture(platform: Mapping[str, str] | None) -> str:
    name = (platform or {}).get("architecture") or "unknown"
    return name + (f"/{platform['variant']}" if name == "arm" and platform.get("variant") else "")


def _parsed(body: bytes, reference: Reference) -> dict:
    try:
        data = json.loads(body)
    except ValueError as exc:
        raise RemoteRefused(f"the registry sent no JSON for {reference}", fix="check its address") from exc
    return data if isinstance(data, dict) else {}
