"""The tools that check Kubernetes manifests, from PATH or built once into the cache from their Go modules.

`python -m tests.kit.kubernetes` builds a kube-apiserver too, in some minutes on two quiet cores. No test does.
"""

import contextlib
import http.client
import json
import os
import re
import secrets
import shutil
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from sut.deploy.servers import certificates
from sut.deploy.servers.binaries import cache_dir
from sut.deploy.supervise.reservation import Reservation
from tests.kit.pace import scaled
from tests.kit.waits import wait_until

KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.8.3"
KUBECONFORM = "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0"
KUBERNETES, STAGING = "v1.36.3", "v0.36.3"
"""The version whose schemas and API server are used, and that of its libraries."""
BUILD_S = 300
MAIN = """\
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() { os.Exit(cli.Run(app.NewAPIServerCommand())) }
"""


def kustomized(directory: Path) -> list[dict[str, Any]]:
    """Return the objects that a kustomization makes. Skips the test without a kustomize; fails where it refuses."""
    kubectl = shutil.which("kubectl")
    command = [kubectl, "kustomize"] if kubectl else [str(_installed("kustomize", KUSTOMIZE)), "build"]
    done = subprocess.run([*command, str(directory)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def conform(objects: list[dict[str, Any]]) -> str:
    """Return what kubeconform says against a real version's schemas; "" if all is well. Skips without its modules."""
    tool = _installed("kubeconform", KUBECONFORM)
    place = f"{_schemas()}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    command = [str(tool), "-strict", "-schema-location", place]
    text = yaml.safe_dump_all(objects)
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)
    return "" if done.returncode == 0 and not done.stdout else done.stdout + done.stderr


def api_server() -> tuple[Path, Path]:
    """Return the paths of kube-apiserver and etcd. Skips the test, with what would build them."""
    server = shutil.which("kube-apiserver") or str(cache_dir() / "bin" / "kube-apiserver")
    if not os.access(server, os.X_OK):
        pytest.skip("no kube-apiserver on PATH or in the cache: python -m tests.kit.kubernetes builds one")
    etcd = shutil.which("etcd")
    return Path(server), Path(etcd) if etcd else _debian_etcd()


def _installed(name: str, module: str) -> Path:
    """Return a Go program, built into the cache where it is missing. Skips the test where that cannot be done."""
    if found := shutil.which(name):
        return Path(found)
    target = cache_dir() / "bin" / name
    if target.exists():
        return target
    if (go := shutil.which("go")) is None:
        pytest.skip(f"no {name} on PATH, and no go to build one")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        environ = {**os.environ, "GOBIN": scratch, "GOFLAGS": ""}
        command = [go, "install", module]
        try:
            subprocess.run(command, cwd=scratch, env=environ, capture_output=True, timeout=BUILD_S, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"no {name}: {error}")
        (Path(scratch) / name).replace(target)
    return target


def _module(module: str) -> Path:
    """Return the directory of a Go module. Skips the test where it cannot be had."""
    if (go := shutil.which("go")) is None:
        pytest.skip("no go, which fetches Kubernetes' schemas")
    with tempfile.TemporaryDirectory() as scratch:
        command = [go, "mod", "download", "-json", module]
        try:
            done = subprocess.run(command, cwd=scratch, capture_output=True, timeout=BUILD_S, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"no {module}: {error}")
    return Path(json.loads(done.stdout)["Dir"])


def _schemas() -> Path:
    """Return a directory with a JSON schema of each kind, made from Kubernetes' own OpenAPI document."""
    made = cache_dir() / f"kubernetes-{KUBERNETES}"
    if made.exists():
        return made
    document = _module(f"k8s.io/kubernetes@{KUBERNETES}") / "api" / "openapi-spec" / "swagger.json"
    definitions = json.loads(document.read_text())["definitions"]
    made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=made.parent) as scratch:
        for definition in definitions.values():
            for kind in definition.get("x-kubernetes-group-version-kind", ()):
                group = kind["group"].partition(".")[0]
                name = "-".join(part for part in (kind["kind"], group, kind["version"]) if part).lower()
                (Path(scratch) / f"{name}.json").write_text(json.dumps(_whole(definition, definitions)))
        with contextlib.suppress(OSError):  # another test was first
            Path(scratch).rename(made)
            Path(scratch).mkdir()
    return made


def _whole(schema: Any, definitions: dict[str, Any]) -> Any:
    """Return a schema without references, in which no field is allowed that is not named."""
    if isinstance(schema, list):
        return [_whole(one, definitions) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name.endswith("JSONSchemaProps"):  # refers to itself
            return {"type": "object"}
        if name.endswith("resource.Quantity"):
            return {"type": ["string", "number"]}
        return _whole(definitions[name], definitions)
    if schema.get("format") == "int-or-string":
        return {"type": ["string", "integer"]}
    known = {key: value for key, value in schema.items() if key in ("type", "required", "items", "enum")}
    found = {key: _whole(value, definitions) for key, value in known.items()}
    if "properties" in schema:
        found["properties"] = {key: _whole(value, definitions) for key, value in schema["properties"].items()}
        found["additionalProperties"] = False
    elif "additionalProperties" in schema:
        found["additionalProperties"] = _whole(schema["additionalProperties"], definitions)
    return found


def _debian_etcd() -> Path:
    target = cache_dir() / "bin" / "etcd"
    if target.exists():
        return target
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        pytest.skip("no etcd on PATH, and no Debian to fetch one from")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        try:
            command = ["apt-get", "download", "etcd-server"]
            subprocess.run(command, cwd=scratch, capture_output=True, timeout=120, check=True)
            (package,) = Path(scratch).glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", package, scratch], capture_output=True, timeout=60, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"no etcd: {error}")
        (Path(scratch) / "usr" / "bin" / "etcd").replace(target)
    return target


def build_api_server() -> Path:
    """Build kube-apiserver from its Go modules into the cache, by a go.mod that needs no checkout."""
    module = _module(f"k8s.io/kubernetes@{KUBERNETES}")
    staged = re.findall(r"^\s(\S+) => \./staging", (module / "go.mod").read_text(), re.MULTILINE)
    target = cache_dir() / "bin" / "kube-apiserver"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        replaced = "\n".join(f"\t{name} => {name} {STAGING}" for name in staged)
        text = f"module server\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes {KUBERNETES}\n\nreplace (\n{replaced}\n)\n"
        (Path(scratch) / "go.mod").write_text(text)
        (Path(scratch) / "main.go").write_text(MAIN)
        version = f"-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES}"
        for command in (["go", "mod", "tidy"], ["go", "build", "-ldflags", version, "-o", str(target), "."]):
            subprocess.run(command, cwd=scratch, check=True)
    return target


class ApiServer:
    """A running API server over etcd, without controllers and nodes: objects are checked and kept; nothing runs."""

    def __init__(self, directory: Path) -> None:
        """Say where its files are. Skips the test without the programs."""
        self._server, self._etcd = api_server()
        self._directory = directory
        self._token = secrets.token_hex(16)
        self._stack = contextlib.ExitStack()
        self._processes: list[subprocess.Popen[bytes]] = []
        self.port = 0

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ask(self, method: str, path: str, body: object = None, kind: str = "application/json") -> tuple[int, Any]:
        """Return the status and the answer to a request of an administrator."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=scaled(20), context=self._context)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Authorization": f"Bearer {self._token}", "Content-Type": kind})
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text[:1] == b"{" else text.decode()
        finally:
            connection.close()

    def _start(self) -> None:
        with Reservation() as ports:
            etcd, peers, self.port = (ports.port() for _ in range(3))
        files = certificates.make(self._directory / "tls")
        self._context = ssl.create_default_context(cafile=files.ca)
        (self._directory / "tokens.csv").write_text(f'{self._token},admin,1,"system:masters"\n')
        public = self._directory / "public.pem"  # of private keys it takes older forms only
        key = load_pem_private_key(Path(files.key).read_bytes(), None).public_key()
        public.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        url = f"http://127.0.0.1:{etcd}"
        self._run(
            *(str(self._etcd), "--data-dir", str(self._directory / "etcd"), "--listen-client-urls", url),
            *("--advertise-client-urls", url, "--listen-peer-urls", f"http://127.0.0.1:{peers}"),
        )
        self._run(
            *(str(self._server), "--etcd-servers", url, "--secure-port", str(self.port), "--bind-address", "127.0.0.1"),
            *("--tls-cert-file", files.certificate, "--tls-private-key-file", files.key),
            *("--token-auth-file", str(self._directory / "tokens.csv"), "--authorization-mode", "RBAC"),
            *("--service-account-key-file", str(public), "--service-account-signing-key-file", files.key),
            *("--service-account-issuer", "https://petrel.test", "--service-cluster-ip-range", "10.96.0.0/16"),
        )
        wait_until(self._ready, timeout_s=60)

    def _run(self, *command: str) -> None:
        log = self._stack.enter_context((self._directory / f"{Path(command[0]).name}.log").open("wb"))
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._processes.append(process)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)

    def _ready(self) -> bool:
        assert all(process.poll() is None for process in self._processes), f"see the logs in {self._directory}"
        try:
            return self.ask("GET", "/readyz")[0] == 200
        except OSError:
            return False


if __name__ == "__main__":
    sys.stdout.write(f"{build_api_server()}\n")
