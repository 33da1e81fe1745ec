"""Names of keys in tokens: what is understood, and that nothing is understood by half."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infwasi_sign.domain.pkcs11_uri import KeyUri, parse_key_uri
from infwasi_sign.errors import UndecidedError
from tests.key_support import undecided

NOTHING = KeyUri(
    token=None,
    manufacturer=None,
    model=None,
    serial=None,
    slot_id=None,
    label=None,
    key_id=None,
    module_path=None,
    pin_path=None,
)


def uri(**members: object) -> KeyUri:
    asked = {name: getattr(NOTHING, name) for name in KeyUri.__slots__}
    return KeyUri(**{**asked, **members})


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("pkcs11:object=a", uri(label="a")),
        ("pkcs11:id=%00%fF", uri(key_id=b"\x00\xff")),
        ("pkcs11:object=a&b;type=private", uri(label="a&b")),
        (
            "pkcs11:token=The%20Software%20token;object=k%3B",
            uri(token="The Software token", label="k;"),
        ),
        ("pkcs11:object=%C3%A4", uri(label="ä")),
        (
            "pkcs11:manufacturer=m;model=d;serial=0A;slot-id=18446744073709551615;id=1;object=o",
            uri(
                manufacturer="m",
                model="d",
                serial="0A",
                slot_id=2**64 - 1,
                key_id=b"1",
                label="o",
            ),
        ),
        (
            "pkcs11:object=a?module-path=/usr/lib/x.so&pin-source=file:/etc/pin",
            uri(label="a", module_path="/usr/lib/x.so", pin_path="/etc/pin"),
        ),
        ("pkcs11:object=a?pin-source=file:///etc/pin", uri(label="a", pin_path="/etc/pin")),
    ],
)
def test_understands(text: str, meaning: KeyUri) -> None:
    assert parse_key_uri(text) == meaning


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is of another scheme (expected pkcs11:)"),
        ("PKCS11:object=a", "is of another scheme (expected pkcs11:)"),
        ("pkcs11:", "names no key"),
        ("pkcs11:token=a", "names no key"),
        ("pkcs11:object=a;object=a", "is ambiguous: object stands twice"),
        ("pkcs11:object=a?module-path=/a&module-path=/b", "is ambiguous: module-path stands twice"),
        ("pkcs11:object=a;x-vendor=1", "is not understood"),
        ("pkcs11:object=a;library-version=1", "is not understood"),
        ("pkcs11:object=a;slot-description=1", "is not understood"),
        ("pkcs11:object=a;OBJECT=b", "is not understood"),
        ("pkcs11:object=a;", "is not understood"),
        ("pkcs11:object", "is not understood"),
        ("pkcs11:object=a?pin-source=file:/a&", "is not understood"),
        ("pkcs11:object=a?object=b", "is not understood"),
        ("pkcs11:object=a;module-path=/x", "is not understood"),
        ("pkcs11:object=", "is wrong: object has a wrong length"),
        ("pkcs11:id=", "is wrong: id has a wrong length"),
        (
            "pkcs11:id=" + "%00" * 256,
            "is wrong: id has a wrong length (expected 1 to 255 bytes, got 256)",
        ),
        ("pkcs11:object=a;token=" + "t" * 33, "is wrong: token has a wrong length"),
        ("pkcs11:object=a b", "is not well formed in object"),
        ("pkcs11:object=ä", "is not well formed in object"),
        ("pkcs11:object=a/b", "is not well formed in object"),
        ("pkcs11:object=%4", "is not well formed in object"),
        ("pkcs11:object=%zz", "is not well formed in object"),
        ("pkcs11:object=a\n", "is not well formed in object"),
        ("pkcs11:object=%ff", "is wrong: object is not UTF-8"),
        ("pkcs11:object=a%00b", "is wrong: object has a NUL in it"),
        ("pkcs11:object=a;type=public", "is not of a private key (expected type=private)"),
        ("pkcs11:object=a;slot-id=-1", "is wrong: slot-id is not a number"),
        ("pkcs11:object=a;slot-id=18446744073709551616", "is wrong: slot-id is not a number"),
        ("pkcs11:object=a?module-path=x.so", "is wrong: module-path is relative"),
        ("pkcs11:object=a?pin-source=/etc/pin", "is wrong: pin-source is no file"),
        ("pkcs11:object=a?pin-source=|/bin/pin", "is wrong: pin-source is no file"),
        ("pkcs11:object=a?pin-source=file:pin", "is wrong: pin-source is relative"),
        ("pkcs11:object=" + "a" * 5000, "is too long (expected at most 4096 bytes)"),
    ],
)
def test_refuses_what_is_doubtful(text: str, message: str) -> None:
    error = undecided(lambda: parse_key_uri(text))
    assert str(error).startswith(f"the PKCS#11 URI {message}")


def test_a_pin_on_the_command_line_is_not_taken_and_not_repeated() -> None:
    error = undecided(lambda: parse_key_uri("pkcs11:object=a?pin-value=8642"))
    assert str(error) == "pin-value is not taken in the PKCS#11 URI"
    assert error.hint is not None
    assert error.hint.endswith("use pin-source=file:PATH")
    assert "8642" not in f"{error} {error.hint}"


@given(
    st.lists(
        st.sampled_from(
            ["pkcs11:", "object=", "id=", "token", "=", ";", "?", "&", "%", "%41", "%ff", "a", "é"]
        )
    ).map("".join)
    | st.text().map("pkcs11:".__add__)
)
def test_any_text_is_a_key_or_one_error(text: str) -> None:
    said = ""
    found = None
    try:
        found = parse_key_uri(text)
    except UndecidedError as e:
        said = str(e)
    assert (found is None) == bool(said)
    assert "\n" not in said
    assert len(said) < 300
    assert found is None or found.label or found.key_id
