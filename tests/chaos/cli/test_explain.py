"""`petrel explain`: what is not a topic, and what is not a run."""

import pytest

from chaos.cli import petrel as cli


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mesage", "x"], "no topic 'mesage'; perhaps message"),
        (["message", "nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", *arguments]) == 64
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
