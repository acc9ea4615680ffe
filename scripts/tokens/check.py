"""Checks the access tokens of a running Postern as another service does, with the Python examples of docs/integrations.md.

    check.py ADDRESS FORMAT KEYS_DIRECTORY POSTERN

The keys sign forged tokens, which differ from a valid token only in the tested claim. At the end, the program POSTERN
rotates them.
"""

import base64
import calendar
import json
import pathlib
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

import jwt
import pyseto
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ROOT = pathlib.Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "integrations.md"
EXAMPLE_ADDRESS = "http://127.0.0.1:8000"
# The values of the default settings.
TTL = 5 * 60
MAX_AGE = "public, max-age=300"
CLAIMS = {
    "paseto": {"iss", "sub", "aud", "iat", "nbf", "exp", "jti", "sid"},
    "paseto-jwt-claims": {"iss", "sub", "aud", "iat", "exp", "jti", "sid", "token_type", "user_id"},
    "jwt": {"iss", "sub", "aud", "iat", "exp", "jti", "sid", "token_type", "user_id"},
}


def expect(condition, message):
    if not condition:
        raise SystemExit(f"check-tokens: {message}")


def send(path, body=None, token=None):
    """Returns the status, headers and JSON body of the response."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(address + path, data, headers), timeout=20) as response:
            return response.status, response.headers, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.load(error)


def example(word):
    """Returns the function `check` of the only example in the document that contains this word."""
    texts = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    [text] = [text for text in texts if word in text]
    expect(EXAMPLE_ADDRESS in text, f"the example with {word} fetches no keys")
    names = {}
    exec(compile(text.replace(EXAMPLE_ADDRESS, address), DOCUMENT.name, "exec"), names)
    return names["check"]


def check_signature_alone(token):
    """Checks a PASETO with JWT claims, for which docs/integrations.md has no example."""
    keys = {key["kid"]: pyseto.Key.from_paserk(key["paserk"]) for key in send("/.well-known/paserk.json")[2]["keys"]}
    key = keys[json.loads(pyseto.Token.new(token).footer)["kid"]]
    claims = json.loads(pyseto.decode(key, token).payload)
    if (claims["iss"], claims["aud"], claims["token_type"]) != ("postern", "postern", "access"):
        raise ValueError("a token of another issuer, audience or type")
    if time.time() >= claims["exp"]:
        raise ValueError("an expired token")
    return claims


def is_rejected(token):
    try:
        check(token)
    except Exception:
        return True
    return False


def seconds(claim):
    """Converts the time of a claim to seconds since 1970."""
    return claim if format != "paseto" else calendar.timegm(time.strptime(claim, "%Y-%m-%dT%H:%M:%SZ"))


def as_claim(moment):
    return moment if format != "paseto" else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


class Signer:
    """Signs tokens with the active key of Postern."""

    def __init__(self, directory):
        keys = json.loads((directory / "keyring.json").read_text())["keys"]
        [key] = [key for key in keys if (key["purpose"], key["state"]) == ("access", "active")]
        self.kid, self.paserk = key["id"], (directory / key["file"]).read_text().strip()

    def sign(self, claims):
        if format == "jwt":
            secret = self.paserk.removeprefix("k4.secret.")
            seed = base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4))[:32]
            return jwt.encode(claims, Ed25519PrivateKey.from_private_bytes(seed), "EdDSA", {"kid": self.kid})
        key = pyseto.Key.from_paserk(self.paserk)
        return pyseto.encode(key, json.dumps(claims), json.dumps({"kid": self.kid})).decode()


def check_key_sets():
    status, headers, paserk = send("/.well-known/paserk.json")
    expect((status, headers["Cache-Control"]) == (200, MAX_AGE), f"paserk.json: {status} {headers}")
    status, headers, jwks = send("/.well-known/jwks.json")
    expect((status, headers["Cache-Control"]) == (200, MAX_AGE), f"jwks.json: {status} {headers}")
    [key], [jwk] = paserk["keys"], jwks["keys"]
    expect(key["state"] == "active" and key["kid"] == jwk["kid"], f"{paserk} {jwks}")
    expect(pyseto.Key.from_paserk(key["paserk"]).to_paserk_id() == key["kid"], f"{key} has another id")
    expect(key["paserk"] == "k4.public." + jwk["x"], f"{key} is not {jwk}")


def check_claims(claims, user):
    expect(claims.keys() == CLAIMS[format], f"{claims} are not the documented claims")
    expect((claims["iss"], claims["aud"], claims["sub"]) == ("postern", "postern", user), f"{claims} of {user}")
    issued = seconds(claims["iat"])
    expect(abs(issued - time.time()) < 60, f"{claims} are not issued now")
    expect(seconds(claims["exp"]) - issued == TTL, f"{claims} are not valid for {TTL} s")
    if format == "paseto":
        expect(seconds(claims["nbf"]) == issued - 30, f"{claims} are not valid from 30 s before their issue")
    else:
        expect((claims["token_type"], claims["user_id"]) == ("access", user), f"{claims} are of another type or user")


def check_tampering(token):
    for index, character in enumerate(token):
        other = token[:index] + ("B" if character == "A" else "A") + token[index + 1 :]
        # The last character of a part may have unused bits, which lenient decoders ignore.
        is_last = index + 1 == len(token) or token[index + 1] == "."
        if character != "." and not is_last:
            expect(is_rejected(other), f"{token} with another character at {index} is accepted")
    for length in range(0, len(token), 7):
        expect(is_rejected(token[:length]), f"{token} is accepted although it is truncated to {length} characters")


def check_forgeries(valid, signer):
    """Checks that the example and Postern reject tokens with a valid signature and a wrong claim."""
    expect(check(signer.sign(valid)) == valid, "the example rejects a valid token that the other library signed")
    status, _, _ = send("/profile/", token=signer.sign(valid))
    expect(status == 200, "Postern rejects a valid token that the other library signed")
    now = int(time.time())
    for code, change in [
        ("token_expired", {"iat": as_claim(now - 600), "exp": as_claim(now - 300)}),
        ("invalid_token", {"iss": "other"}),
        ("invalid_token", {"aud": "other"}),
    ]:
        token = signer.sign(valid | change)
        expect(is_rejected(token), f"{change}: accepted by the example")
        status, _, error = send("/profile/", token=token)
        expect((status, error.get("code")) == (401, code), f"{change}: {status} {error}")


def eventually(condition, message):
    """Waits for up to 30 s: for an unknown key id, keys are fetched again at most once per second."""
    deadline = time.monotonic() + 30
    while not condition():
        expect(time.monotonic() < deadline, message)
        time.sleep(0.1)


def check_key_change(valid, credentials):
    """Checks that a verifier by the example continues after a change of the keys."""
    subprocess.run(
        [postern, "keys", "rotate", "access", "--emergency"],
        env={"POSTERN_KEYS_DIR": str(keys_directory)}, stdout=subprocess.DEVNULL, check=True,
    )
    signer = Signer(keys_directory)
    eventually(lambda: send("/profile/", token=signer.sign(valid))[0] == 200, "Postern does not accept the new key")
    access = send("/token/", credentials)[2]["access"]
    eventually(lambda: not is_rejected(access), f"{access}, signed with a new key, is rejected")


def main():
    check_key_sets()
    email = f"{format}@example.org"
    body = {"name": "Ada Lovelace", "email": email, "password": "secure_password"}
    status, _, tokens = send("/create-user/", body)
    expect(status == 201, tokens)
    access = tokens["access"]
    claims = check(access)
    check_claims(claims, claims["sub"])
    # A second session of the same user.
    again = check(send("/token/", {"email": email, "password": "secure_password"})[2]["access"])
    check_claims(again, claims["sub"])
    expect(again["sid"] != claims["sid"] and again["jti"] != claims["jti"], f"{again} and {claims} share an id")
    check_tampering(access)
    expect(is_rejected(tokens["refresh"]), "a refresh token is accepted as an access token")
    check_forgeries(claims, Signer(keys_directory))
    check_key_change(claims, {"email": email, "password": "secure_password"})
    print(f"{format}: {len(access)} bytes, checked by {library}")


address, format, keys_directory, postern = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]), sys.argv[4]
library, check = {
    "paseto": lambda: ("pyseto, as docs/integrations.md shows", example("pyseto")),
    "paseto-jwt-claims": lambda: ("pyseto", check_signature_alone),
    "jwt": lambda: ("PyJWT, as docs/integrations.md shows", example("PyJWKClient")),
}[format]()
main()
