"""Secrets are found by where they stand."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.logs.redaction import Redactor, is_secret_name, without_secrets


def redacted(text: str) -> str:
    return Redactor().text(text)


@pytest.mark.parametrize(
    "name",
    ["password", "Password", "mqtt_password", "MQTT_PASSWORD", "api-key", "apiKey", "accessToken", "client.secret",
     "psk", "encryption_key", "AUTHORIZATION", "credentials", "pin"],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["password_file", "key_file", "token_path", "keyword", "keepalive", "passive", "spin", "argkey", "topic",
             "LoadCredential", "username", "keys"]
)  # fmt: skip
def test_names_of_other_options(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("password: hunter2", "password: ***"),
        ("# password: hunter2", "# password: ***"),
        ("  - token: 'it''s' # why", "  - token: ***"),
        ('{"a": 1, "password": "x\\"y", "b": 2}', '{"a": 1, "password": ***, "b": 2}'),
        ("{user: bob, password: a b c, port: 1}", "{user: bob, password: ***, port: 1}"),
        ("secret: |\n  one\n  two\nport: 1", "secret: |\n  ***\nport: 1"),
        ("a:\n  secret:\n    - one\n    - two\n  port: 1", "a:\n  secret:\n    ***\n  port: 1"),
        ("mqtt://bob:a@b:c@broker:1883/x", "mqtt://bob:***@broker:1883/x"),
        ("https://abc123@api.home/", "https://***@api.home/"),
        ("GET /?from=1&token=abc&to=2", "GET /?from=1&token=***&to=2"),
        ("got Authorization: Bearer abcdefgh", "got Authorization: ***"),
        ("header Basic dXNlcjpwYXNz end", "header Basic *** end"),
        ("ExecStart=/x --password hunter2 --conf y.conf", "ExecStart=/x --password *** --conf y.conf"),
        ("ExecStart=/x --token=hunter2 --conf y.conf", "ExecStart=/x --token=*** --conf y.conf"),
        ("Environment=API_KEY=abc LANG=C", "Environment=API_KEY=*** LANG=C"),
        ("mosquitto_pub -u bob -P hunter2 -t x", "mosquitto_pub -u bob -P *** -t x"),
        ("SetCredential=gate:hunter2", "SetCredential=gate:***"),
        ('- write: "LOGIN hunter2"', '- write: "LOGIN ***"'),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END", "-----BEGIN PRIVATE KEY-----***-----END"),
        ("password: ${MQTT_PASSWORD}", "password: ${MQTT_PASSWORD}"),
        ("password_file: gate.password", "password_file: gate.password"),
        ("topic: home/gate # the gate", "topic: home/gate # the gate"),
        ("INFO mqttgateway.mqtt: connected to b:1883", "INFO mqttgateway.mqtt: connected to b:1883"),
    ],
)  # fmt: skip
def test_a_secret_is_hidden_where_it_stands(text: str, expected: str) -> None:
    assert redacted(text) == expected


@pytest.mark.parametrize(
    ("learnt", "shown"),
    [
        ("password: hunter2", "got hunter2"),
        ("password: 'it''s' # why", "got it's"),
        ('"password": "x\\u00e9yz"', "got x\u00e9yz"),
        (f"token: {base64.b64encode(b'hunter2secret').decode()}", "got hunter2secret"),
        (f"header: Basic {base64.b64encode(b'bob:hunter2').decode()}", "got hunter2"),
        ("key: 68756e74657232", "got hunter2"),
        ("url: x://u:p%40ss%2Fword@h", "got p@ss/word"),
        ("--password hunter2 --conf x", "got hunter2"),
        ("secret: >-\n  hunter2\n", "got hunter2"),
    ],
)
def test_what_was_learnt_is_hidden_elsewhere_also_decoded(learnt: str, shown: str) -> None:
    redactor = Redactor()
    redactor.learn_text(learnt)
    assert redactor.text(shown) == "got ***"


def test_data_are_learnt_below_the_name_of_a_secret() -> None:
    redactor = Redactor()
    redactor.learn_data(
        {"tokens": ["hunter2", {"x": "other3"}], "port": 18831, "write": "LOGIN third4", "pin": 47110815}
    )
    assert redactor.text("hunter2 other3 18831 third4 47110815") == "*** *** 18831 *** ***"


def test_short_and_common_words_are_hidden_only_where_they_stand() -> None:
    redactor = Redactor()
    redactor.learn_text("pin: 12\npassword: password\nauth: true\n")
    assert redactor.text("pin: 12\n12 times the password is true") == "pin: ***\n12 times the password is true"


def test_data_without_secrets_keep_their_form() -> None:
    data = {"port": 1, "password": "x", "token": None, "a": [{"secret": ["x"], "b": ("c",)}]}
    assert without_secrets(data) == {"port": 1, "password": "***", "token": None, "a": [{"secret": "***", "b": ["c"]}]}


@given(st.text(), st.sampled_from(["password: {}", '"token": "{}"', "--secret {}", "x://u:{}@h", "API_KEY={}"]))
def test_no_text_stops_it(text: str, form: str) -> None:
    redactor = Redactor()
    redactor.learn_text(form.format(text))
    redactor.text(form.format(text))


def test_a_long_text_takes_little_time() -> None:
    text = "".join(f"{' ' * (number % 7)}name{number}: value{number} a=b,c: d\n" for number in range(8000))
    began = time.process_time()
    redacted(text + "password" * 5000 + " " * 50_000)
    assert time.process_time() - began < 5


def test_passwords_in_addresses_are_hidden_in_data() -> None:
    data = {"port": "rfc2217://user:s3cr:et@host:7000", "hosts": ["mqtts://token@host/path@x", "socket://host:1"]}
    expected = {"port": "rfc2217://user:***@host:7000", "hosts": ["mqtts://***@host/path@x", "socket://host:1"]}
    assert without_secrets(data) == expected
