"""swarm.json: what it may hold, and one clear line for what it may not."""

import json
import os
import stat
from pathlib import Path

import pytest

from load import workload as configs
from load.workload import ConfigError, SwarmConfig

GOOD = {"seed": 1, "users": 10, "api_url": "http://127.0.0.1:80", "api_key": "k", "history_dir": "h"}


def written(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "swarm.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    config = SwarmConfig(**GOOD, duration_s=5.0)
    path = tmp_path / "swarm.json"
    configs.save(config, path)
    assert configs.load(path) == config
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (GOOD | {"users": 0}, "users"),
        (GOOD | {"users": 10_000_000}, "users"),
        (GOOD | {"rate_per_s": 0}, "rate_per_s"),
        (GOOD | {"duration_s": -1}, "duration_s"),
        (GOOD | {"duration_s": 86_400, "rate_per_s": 100_000}, "50,000,000 sends"),
        (GOOD | {"offline_share": 1.5}, "offline_share"),
        (GOOD | {"api_url": "ftp://x"}, "api_url"),
        (GOOD | {"tier": "bus"}, "tier"),
        (GOOD | {"tier": "fleet", "crypto_share": 0.1}, "tier fleet has no encryption"),
        (GOOD | {"tier": "fleet", "ca_file": "/ca.pem"}, "tier fleet has no TLS"),
        (GOOD | {"tier": "fleet", "api_url": "https://x"}, "tier fleet has no TLS"),
        (GOOD | {"user": 5}, "there is no key user here"),
        ({key: value for key, value in GOOD.items() if key != "seed"}, "seed"),
        ("{ users: 1", "malformed"),
        ("", "truncated"),
    ],
)
def test_a_bad_file_is_one_line_that_names_file_and_fault(tmp_path: Path, content: object, said: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        configs.load(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert said in text
    assert "\n" not in text


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.json: No such file"):
        configs.load(tmp_path / "nothing.json")


def topology(tmp_path: Path) -> Path:
    services = [
        {"name": "gateway-1", "kind": "gateway", "ports": {"ws": 1, "peer": 2}},
        {"name": "api-1", "kind": "api", "host": "127.0.0.1", "ports": {"http": 8080, "peer": 3}, "index": 0},
    ]
    (tmp_path / "topology.json").write_text(json.dumps({"api_key": "secret", "services": services, "run_id": "x"}))
    return tmp_path


def test_by_hand_each_start_is_a_run_with_ids_of_its_own(tmp_path: Path) -> None:
    directory = topology(tmp_path)
    first, second = (configs.by_hand(directory, seed=1, users=50, duration_s=10.0, rate_per_s=5.0) for _ in range(2))
    assert first.api_url == "http://127.0.0.1:8080"
    assert first.api_key == "secret"
    assert first.first_id == 1
    assert second.first_id >= first.first_id + configs.MAX_USERS
    assert first.history_dir != second.history_dir
    assert configs.load(directory / "swarm-2" / "swarm.json") == second


def test_by_hand_without_a_system_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"topology\.json: No such file .*petrel up"):
        configs.by_hand(tmp_path, seed=1, users=5, duration_s=1.0, rate_per_s=1.0)
    (tmp_path / "topology.json").write_text('{"api_key": "k", "services": []}')
    with pytest.raises(ConfigError, match="no service of kind api"):
        configs.by_hand(tmp_path, seed=1, users=5, duration_s=1.0, rate_per_s=1.0)


def test_by_hand_with_bad_numbers_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="users"):
        configs.by_hand(topology(tmp_path), seed=1, users=0, duration_s=1.0, rate_per_s=1.0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_by_hand_in_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    directory = topology(tmp_path)
    directory.chmod(0o500)
    with pytest.raises(ConfigError, match="Permission denied"):
        configs.by_hand(directory, seed=1, users=5, duration_s=1.0, rate_per_s=1.0)
    directory.chmod(0o700)


def test_by_hand_with_tasks_nobody_is_away_and_no_plan_ends_the_test(tmp_path: Path) -> None:
    directory = topology(tmp_path)
    alone = configs.by_hand(directory, seed=1, users=3, duration_s=5.0, rate_per_s=9.0, sends="tasks")
    beside = configs.by_hand(directory, seed=1, users=3, duration_s=5.0, rate_per_s=9.0, sends="both")
    for config in (alone, beside):
        assert (config.offline_share, config.silent_share, config.churn, config.at_start) == (0, 0, 0, 3)
    assert (alone.duration_s, beside.duration_s, beside.rate_per_s) == (86_400, 5, 18)


@pytest.mark.parametrize("wrong", [{"tier": "fleet"}, {"crypto_share": 0.5}])
def test_tasks_have_plain_devices(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="tasks send plain texts from devices of tier greenlet"):
        SwarmConfig(users=2, seed=1, api_url="http://a", api_key="k", history_dir="h", sends="tasks", **wrong)


def test_by_hand_with_fewer_devices_than_users_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="9 users need as many devices, and there are 5"):
        configs.by_hand(topology(tmp_path), seed=1, users=9, duration_s=5.0, rate_per_s=9.0, devices=5)
    assert configs.by_hand(tmp_path, seed=1, users=3, duration_s=5.0, rate_per_s=9.0, devices=5).users == 5
