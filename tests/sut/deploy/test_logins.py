"""The rights of the users at Redis: the services may do what their scripts do."""

import re
from pathlib import Path

from sut.adapters import redis
from sut.deploy import logins


def test_the_services_may_call_every_command_of_their_scripts() -> None:
    scripts = [path.read_text() for path in Path(redis.__file__).parent.glob("*.lua")]
    called = {command.lower() for text in scripts for command in re.findall(r"redis\.call\('(\w+)'", text)}
    assert {"hget", "zadd"} <= called
    assert called <= set(re.findall(r"\+(\w+)", logins._NODE["service"]))
