"""Secrets are found in every form a child can print them, and nothing else is touched."""

from __future__ import annotations

import base64
import gzip
import json
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loop.redaction import Redactor, secret_values

SECRET = 'canary/7f"3+x&key=='


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        json.dumps({"key": SECRET}),
        urllib.parse.quote(SECRET, safe=""),
        urllib.parse.urlencode({"k": SECRET}),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"user:" + SECRET.encode()).decode(),
        base64.b64encode(b"a:" + SECRET.encode() + b"\n").decode(),
        base64.urlsafe_b64encode(b"x" + SECRET.encode()).decode(),
        SECRET.encode().hex(),
    ],
)
def test_a_secret_is_found_in_any_form(form):
    clean = Redactor([SECRET]).text(f"before {form} after")
    assert "[secret]" in clean
    assert clean.startswith("before ")
    assert clean.endswith(" after")
    assert SECRET not in clean
    packed = gzip.compress(form.encode())
    assert b"[secret]" in gzip.decompress(Redactor([SECRET])(packed))


@pytest.mark.parametrize(
    "token",
    [
        "ghp_" + "a1" * 18,
        "github_pat_" + "b2" * 20,
        "hf_" + "c3" * 17,
        "sk-ant-" + "d4" * 20,
        "AKIA" + "E5" * 8,
        "nvapi-" + "f6" * 20,
        "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----",
        "eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeKKF2QT4".replace("I.", "IUzI1NiI.", 1).replace(
            "x.", "xMjM0NTY.", 1
        ),
    ],
)
def test_known_shapes_are_found(token):
    assert token not in Redactor([]).text(f"x {token} y")


def test_keys_in_addresses_and_headers_are_found():
    redact = Redactor([])
    assert redact.text("https://user:hunter22@host/x") == "https://[secret]@host/x"
    assert redact.text("Authorization: Bearer abcdefghijklmnop123") == "Authorization: Bearer [secret]"


def test_digests_code_and_patches_are_not_touched():
    text = (
        "diff --git a/x b/x\nindex 2beb407a40b6d42d2b0557e78afbf7c0b840440f..c1b0730e0133447badcfd47fd144e254807b06e1 100644\n"
        "+token_ids = tokenizer.encode(prompt)  # sha256:"
        + "ab" * 32
        + "\n+url = 'http://127.0.0.1:8000/v1'\n+key = cache_key(a, b)\n"
    ).encode()
    redact = Redactor(["longer-than-eight"])
    assert redact(text) is text
    packed = gzip.compress(text)
    assert redact(packed) is packed
    assert redact(b"\x1f\x8bnot gzip") == b"\x1f\x8bnot gzip"


@given(st.binary(max_size=200), st.text(min_size=8, max_size=30))
def test_after_redaction_there_is_nothing_left_to_find(raw, secret):
    redact = Redactor([secret])
    once = redact(raw + secret.encode("utf-8", "surrogateescape") + raw)
    assert secret.encode("utf-8", "surrogateescape") not in once.replace(b"[secret]", b"\0")
    assert redact(once) == once or b"[secret]" in secret.encode("utf-8", "surrogateescape")


def test_which_variables_are_secret():
    environment = {
        "GITHUB_TOKEN": "value-of-github",
        "OPENAI_API_KEY": "value-of-openai",
        "DB_PASSWORD": "value-of-database",
        "AWS_SECRET_ACCESS_KEY": "value-of-aws",
        "PRLORE_LLM_API_KEY": "value-of-prlore",
        "PATH": "/usr/bin:/bin",
        "MAX_TOKENS": "100000000",
        "SSH_AUTH_SOCK": "/run/user/1/agent",
        "HF_TOKEN_PATH": "/data/token",
        "SHORT_TOKEN": "abc",
        "TOKENIZERS_PARALLELISM": "false-but-long",
        "KEYBOARD": "pc105-keyboard",
    }
    assert secret_values(environment) == {
        f"value-of-{n}" for n in ("github", "openai", "database", "aws", "prlore")
    }
