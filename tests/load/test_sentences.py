"""What msgspec says of a wrong value is said again as a plain sentence that names the field."""

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from load.sentences import sentence


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    share: Annotated[float, Meta(ge=0, le=1)]


class Document(msgspec.Struct, forbid_unknown_fields=True):
    count: Annotated[int, Meta(ge=1, le=100_000)] = 1
    above: Annotated[float, Meta(gt=0, lt=2.5)] = 1.0
    text: Annotated[str, Meta(min_length=1, max_length=3)] = "a"
    form: Annotated[str, Meta(pattern="^[a-z]+$")] = "a"
    pair: tuple[int, int] = (1, 2)
    some: Annotated[list[int], Meta(min_length=1, max_length=2)] | None = None
    map: Annotated[dict[str, int], Meta(max_length=1)] = {}
    one: Literal["a", "b"] = "a"
    flag: bool = False
    maybe: int | None = None
    inner: Inner | None = None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"count": 0}, "count must be a whole number of at least 1"),
        ({"count": 100_001}, "count must be a whole number of at most 100,000"),
        ({"count": "x"}, "count must be a whole number, not text"),
        ({"above": 0}, "above must be a number above 0"),
        ({"above": 2.5}, "above must be a number below 2.5"),
        ({"text": ""}, "text must have at least 1 character"),
        ({"text": "abcd"}, "text must have at most 3 characters"),
        ({"form": "1"}, "form must match ^[a-z]+$, a regular expression"),
        ({"pair": [1]}, "pair must be a list of 2, not of 1"),
        ({"some": []}, "some must have at least 1 value"),
        ({"some": [1, 2, 3]}, "some must have at most 2 values"),
        ({"map": {"a": 1, "b": 2}}, "map must have at most 1 key"),
        ({"one": "c"}, "one cannot be 'c'"),
        ({"flag": 1}, "flag must be true or false, not a whole number"),
        ({"maybe": "x"}, "maybe must be a whole number or nothing, not text"),
        ({"inner": {"share": 2}}, "inner.share must be a number of at most 1"),
        ({"inner": {}}, "the key share is missing"),
        ({"other": 1}, "there is no key other here"),
        ([], "the document must be keys with values, not a list"),
    ],
)
def test_a_library_s_message_becomes_a_sentence(value: Any, said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(value, Document)
    assert sentence(caught.value) == said


def test_a_document_that_is_none_is_told_as_it_is() -> None:
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(b"{", type=Document)
    assert sentence(caught.value) == "Input data was truncated"
