"""A child sees the settings in force and no other of our variables."""

from pathlib import Path

from pydantic import SecretStr

from whence.embedded.environment import child_environment
from whence.kit.settings import Settings, load_settings

SETTINGS = Settings.model_validate(
    {"database_url": "postgresql://db/shop", "api_keys": SecretStr("a,b"), "insecure": True, "log_partitions": 3}
)


def test_a_child_loads_the_same_settings(tmp_path: Path) -> None:
    environment = child_environment(SETTINGS, {"PATH": "/bin", "WHENCE_API_KEYS_FILE": "/keys", "WHENCE_OLD": "x"})
    assert environment["PATH"] == "/bin"
    assert not {"WHENCE_API_KEYS_FILE", "WHENCE_OLD"} & set(environment)
    loaded = load_settings(environment, tmp_path / "none.toml").settings
    assert loaded == SETTINGS.model_copy(update={"state": SETTINGS.state.resolve()})


def test_a_file_of_settings_cannot_change_what_a_child_is_given(tmp_path: Path) -> None:
    file = tmp_path / "whence.toml"
    file.write_text('namespace = "other"\nlog_level = "debug"\n')
    loaded = load_settings(child_environment(SETTINGS, {}), file).settings
    assert (loaded.namespace, loaded.log_level) == ("whence", "info")
