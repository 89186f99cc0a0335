"""Reading a file that a person wrote: bounded, in YAML 1.2's sense, and every mistake is one line with its place."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chaos.cli.petrel import main
from chaos.errors import UsageError
from chaos.run import experiment, yamlfile

CASES = Path(__file__).with_name("experiments")


class Document(msgspec.Struct):
    value: Any


def parsed(text: str) -> Any:
    return yamlfile.parse(text, Document, source="x").value


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("key_list", "6: tags such as !!str are not read here"),
        ("name_with_newline", "1: name: a name is 1 to 64 of a-z, 0-9, - and _, and begins with a letter or a digit"),
        ("sexagesimal", "4: 1:30 is no number"),
        ("tag_int", "3: tags such as !!int are not read here"),
        ("tag_time", "1: tags such as !!timestamp are not read here"),
        ("wrong_line", "2: 2024-13-45 is no number, and no text to every reader of YAML; put text in quotes"),
    ],
)
def test_a_case_is_one_line_with_its_place_and_64(name: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = CASES / f"{name}.yaml"
    assert main(["run", str(path)]) == 64
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"petrel: {path}:{said}")


def test_a_zero_before_a_number_changes_nothing() -> None:
    assert experiment.load(str(CASES / "octal.yaml")).users == 100


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0100", 100),
        ("-0012", -12),
        ("+7", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("010.5", 10.5),
        ("1e3", 1000.0),
        ("-.5E-1", -0.05),
        ("1.", 1.0),
        ("-.inf", float("-inf")),
        ("9223372036854775807", (1 << 63) - 1),
        ("true", True),
        ("~", None),
        ("", None),
        ("a:b", "a:b"),
        ("1.2.3", "1.2.3"),
        ("0b1x", "0b1x"),
        ("'0100'", "0100"),
        ('"1:30"', "1:30"),
        ("'yes'", "yes"),
        ('"<<"', "<<"),
    ],
)
def test_a_plain_value_is_what_yaml_1_2_says(text: str, value: object) -> None:
    found = parsed(f"value: {text}\n")
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["1:30", "190:20:30.15", "1_000", "0b11", "2024-01-01", "yes", "Off", "n0: 1\n<<: 2"])
def test_what_only_yaml_1_1_reads_as_more_than_text_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"x:\d: "):
        parsed(f"value: {text}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("value: &a [*a]", "x:1: the alias 'a' stands inside what it names"),
        ("value:\n  - *b", "x:2: no anchor 'b'"),
        ("value: 1\n---\nvalue: 2", "x:2: a second document"),
        ('value: "\\ud800"', "x:1: half of a surrogate pair"),
        ('a: 1\nvalue: "\\U00110000"', "x:2: "),
        ("a: 1\nvalue: \x07", "x:2: special characters are not allowed"),
        ("value: 99999999999999999999999", "x:1: a whole number of more than 64 bits"),
        ("value: " + "9" * 5000, "x:1: a whole number of more than 64 bits"),
        ("a: 1\nvalue: " + "[" * 40, "x:2: nested deeper than 32 levels"),
        ("a: 1\n? {b: c}\n: 1", "x:2: this key is no text"),
        ("a: &k b\n*k : 1", "x:2: this key is no text"),
        ("value: 1\nvalue: 2", "x:2: value stands here twice"),
    ],
)
def test_a_document_that_is_none_names_its_line(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsed(text)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_an_alias_is_what_it_stands_for() -> None:
    assert parsed("value: [&a {b: [1, 2]}, *a]") == [{"b": [1, 2]}] * 2


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    with pytest.raises(UsageError, match="x:5: more than 50,000 values, with each alias"):
        parsed("\n".join(lines))


def test_aliases_cannot_nest_deeper_than_what_is_written() -> None:
    lines = ["a0: &a0 [1]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 200))]
    with pytest.raises(UsageError, match=r"x:3\d: nested deeper than 32 levels"):
        parsed("\n".join(lines))


def test_a_file_without_end_is_read_to_the_bound(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(UsageError, match=r"large\.yaml: larger than 1,048,576 bytes"):
        yamlfile.read(large, Document)
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    with pytest.raises(UsageError, match=r"pipe\.yaml: is no file"):
        yamlfile.read(pipe, Document)


def test_a_mistake_in_one_of_several_profiles_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    head = "name: mine\nsummary: s\nusers: 5\n"
    path.write_text(f"{head}profiles:\n  embedded: {{users: 5}}\n  cluster:\n    recipients: 2\n    users: 0\n")
    with pytest.raises(
        UsageError, match=r"mine\.yaml:8: profiles\.cluster\.users must be a whole number of at least 1"
    ):
        experiment.load(str(path))
    path.write_text(f"{head}profiles:\n  embedded: {{users: 5}}\n  moon: {{users: 5}}\n")
    with pytest.raises(UsageError, match=r"mine\.yaml:6: profiles\.moon: no profile 'moon'"):
        experiment.load(str(path))


@given(st.recursive(st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False)
                    | st.text(st.characters(codec="utf-8"), max_size=8)
                    | st.sampled_from(["0100", "0o7", "1e3", "1:30", "yes", "~", "", "2024-01-01", "<<", "=", "null"]),
                    lambda inner: st.lists(inner, max_size=3), max_leaves=9))  # fmt: skip
@example("a\x85b")
@example("a\u2028\u2029")
def test_what_is_written_is_read_back(value: object) -> None:
    assert parsed(yamlfile.dump({"value": value})) == value
