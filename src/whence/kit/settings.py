"""Settings: read once, in a `main.py` or a command, from the environment and `whence.toml`.

Every setting is declared in `Settings` alone; the documentation is made from it, and an unknown `WHENCE_` name is an
error with a suggestion. A secret may be given as `…_FILE`, the path of a file that holds it.
"""

import difflib
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from whence.domain.blend_weights import BlendWeights, parse_blend
from whence.domain.errors import FieldProblem, InvalidInput
from whence.domain.events import EventTypes, parse_event_types
from whence.kit.secrets import HIDDEN, without_passwords

PREFIX = "WHENCE_"
TOML_FILE = "whence.toml"
SECRETS = ("database_url", "log_url", "api_keys", "kafka_sasl_password")
"""Settings that may also come as `…_FILE`, and whose values no command prints."""


def _event_types(text: str) -> str:
    try:
        parse_event_types(text)
    except InvalidInput as error:
        raise ValueError(error.problems[0].problem) from error
    return text


def _blend(text: str) -> str:
    try:
        parse_blend(text)
    except InvalidInput as error:
        problem = error.problems[0]
        raise ValueError(f"{problem.field} {problem.problem}") from error
    return text


def _database_url(text: str) -> str:
    if text and not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("must be a postgresql:// URL")
    return text


def _log_url(text: str) -> str:
    if text and not text.startswith(("postgresql://", "postgres://", "kafka://")):
        raise ValueError("must be kafka://host:port[,host:port…]/topic or a postgresql:// URL")
    return text


class Settings(BaseModel):
    """All settings of Whence; the field `name` is the variable `WHENCE_NAME`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: Annotated[str, AfterValidator(_database_url)] = Field(
        "", description="PostgreSQL 15 or newer that holds the scores; under `whence up` the embedded one if not set"
    )
    log_url: Annotated[str, AfterValidator(_log_url)] = Field(
        "",
        description="the event log: `kafka://host:port[,host:port…][/topic]` or `postgresql://…`; the same database as "
        "the scores if not set",
    )
    log_partitions: int = Field(
        16, ge=1, le=256, description="partitions of an event log in PostgreSQL; counts only when the log is made"
    )
    kafka_security_protocol: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        "plaintext", description="how brokers are spoken to, in Kafka's own words"
    )
    kafka_sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "", description="how we log in to the brokers, in Kafka's own words"
    )
    kafka_sasl_username: str = Field("", description="the name that we log in to the brokers with")
    kafka_sasl_password: SecretStr = Field(SecretStr(""), description="its password")
    kafka_ssl_ca_file: str = Field("", description="the certificates (PEM) of the authorities that signed the brokers'")
    kafka_partitions: int = Field(16, ge=1, le=256, description="partitions of the topic; counts only when it is made")
    kafka_replication: int = Field(1, ge=1, le=9, description="replicas of the topic; counts only when it is made")
    namespace: str = Field(
        "whence",
        pattern=r"^[a-z][a-z0-9_]{0,30}$",
        description="name of this installation (the PostgreSQL schema), so that several share a server",
    )
    event_types: Annotated[str, AfterValidator(_event_types)] = Field(
        "view=1,click=2,cart=3,purchase=5,dismiss=0",
        description="the event types and their initial weights, which count until `whence weights set` publishes "
        "others; `dismiss` hides the item from that user until a later positive signal. All services must agree",
    )
    blend: Annotated[str, AfterValidator(_blend)] = Field(
        "",
        description="what the parts of a score weigh against each other, as `name=number,…`, where that is not the "
        "default (docs/quality.md has the names)",
    )
    surfaces: str = Field(
        "home",
        pattern=r"^[a-z][a-z0-9_-]{0,31}(,[a-z][a-z0-9_-]{0,31}){0,31}$",
        description="declared surfaces (places where lists are shown), comma-separated; the first is the default",
    )
    unknown_items: Literal["show", "hide"] = Field(
        "show", description="whether items without a catalogue entry may be recommended"
    )
    host: str = Field("127.0.0.1", description="address that the services listen on")
    api_keys: SecretStr = Field(
        SecretStr(""),
        description="comma-separated keys that clients send as `Authorization: Bearer …`; needed on a host that is "
        "not loopback",
    )
    insecure: bool = Field(False, description="`1` allows a host that is not loopback without API keys")
    state: Path = Field(Path(".whence"), description="folder of the embedded stores and of `endpoints.json`")
    ingest_url: str = Field("", description="where commands find ingest; `endpoints.json` tells if not set")
    recommend_url: str = Field("", description="where commands find recommend; `endpoints.json` tells if not set")
    log_format: Literal["", "json", "pretty"] = Field(
        "", description="`json` or `pretty` logs; pretty on a terminal if not set"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least level that is logged"
    )
    failpoints: str = Field(
        "",
        description="for crash tests only: `name` or `name:n`, comma-separated; the process kills itself there, or "
        "freezes with `name:n=stop`",
    )

    def types(self) -> EventTypes:
        """The declared event types."""
        return parse_event_types(self.event_types)

    def mixture(self) -> BlendWeights:
        """What the parts of a score weigh against each other."""
        return parse_blend(self.blend)

    def surface_names(self) -> tuple[str, ...]:
        """The declared surfaces, the default first."""
        return tuple(self.surfaces.split(","))

    def keys(self) -> tuple[str, ...]:
        """The API keys; none if not set."""
        return tuple(key.strip() for key in self.api_keys.get_secret_value().split(",") if key.strip())


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings and where each came from (a variable, a file, or "default")."""

    settings: Settings
    sources: Mapping[str, str]


def shown_value(name: str, value: object) -> str:
    """A setting's value as people may see it: without API keys, and without the passwords of URLs."""
    if isinstance(value, SecretStr):
        return HIDDEN if value.get_secret_value() else ""
    if isinstance(value, bool):
        return "1" if value else "0"
    return without_passwords(str(value)) if name in SECRETS else str(value)


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def load_settings(environ: Mapping[str, str] | None = None, toml_file: Path | None = None) -> LoadedSettings:
    """The settings in force: the environment before `whence.toml` in the current folder, before the defaults.

    Raises:
        InvalidInput: With one problem for each setting that is unknown or wrong.
    """
    found: dict[str, tuple[str, object]] = {}
    problems: list[FieldProblem] = []
    for name, value in _from_toml(toml_file or Path(TOML_FILE)).items():
        _take(name, value, _toml_source, found, problems)
    for name, value in _from_environment(environ).items():
        _take(name, value, variable, found, problems)
    try:
        settings = Settings.model_validate({name: value for name, (_, value) in found.items()})
    except ValidationError as error:
        problems += [_problem(entry["loc"], entry["msg"], found) for entry in error.errors()]
    if problems:
        raise InvalidInput(problems)
    sources = {name: found[name][0] if name in found else "default" for name in Settings.model_fields}
    return LoadedSettings(settings, sources)


def _toml_source(name: str) -> str:
    return f"{name} in {TOML_FILE}"


def _from_environment(environ: Mapping[str, str] | None) -> dict[str, object]:
    values = os.environ if environ is None else environ
    return {name.removeprefix(PREFIX).lower(): value for name, value in values.items() if name.startswith(PREFIX)}


def _from_toml(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        return _flat(tomllib.loads(path.read_text(encoding="utf-8")), "")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput([FieldProblem(str(path), f"is not valid TOML: {error}")]) from error


def _flat(table: Mapping[str, object], prefix: str) -> dict[str, object]:
    """Nested tables as single names: `[log] url = …` is `log_url`."""
    flat: dict[str, object] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{prefix}{name}_") if isinstance(value, dict) else {prefix + name: value}
    return flat


def _take(
    name: str,
    value: object,
    source: Callable[[str], str],
    found: dict[str, tuple[str, object]],
    problems: list[FieldProblem],
) -> None:
    """Note one given value under its setting, reading the file of a `…_file` secret."""
    secret = name.removesuffix("_file")
    if name in Settings.model_fields:
        found[name] = (source(name), value)
    elif name != secret and secret in SECRETS:
        try:
            found[secret] = (source(name), Path(str(value)).read_text(encoding="utf-8").strip())
        except OSError as error:
            problems.append(FieldProblem(source(name), f"cannot read {value}: {error.strerror}"))
    else:
        near = difflib.get_close_matches(name, Settings.model_fields, n=1)
        hint = f"did you mean {source(near[0])}?" if near else "`whence config show` lists all settings"
        problems.append(FieldProblem(source(name), f"there is no such setting; {hint}"))


def _problem(location: tuple[int | str, ...], message: str, found: Mapping[str, tuple[str, object]]) -> FieldProblem:
    name = str(location[0])
    text = message.removeprefix("Value error, ")
    return FieldProblem(found[name][0] if name in found else variable(name), text)
