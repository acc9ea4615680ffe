"""Checks the access tokens of a running Postern as another service would, by the Python examples of docs/integrations.md.

    check.py ADDRESS FORMAT KEYS_DIRECTORY POSTERN

The keys are for forgeries: tokens that differ from a good one in nothing but what they shall be refused for. They are
changed in the end, by the command POSTERN.
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
# Of the default settings.
TTL = 5 * 60
MAX_AGE = "public, max-age=300"
CLAIMS = {
    "paseto": {"iss", "sub", "aud", "iat", "nbf", "exp", "jti", "sid"},
    "paseto-jwt-claims": {"iss", "sub", "aud", "iat", "exp", "jti", "sid", "token_type", "user_id"},
    "jwt": {"iss", "sub", "aud", "iat", "exp", "jti", "sid", "token_type", "user_id"},
}


def expect(holds, what):
    if not holds:
        raise SystemExit(f"check-tokens: {what}")


def ask(path, body=None, token=None):
    """Status, headers and JSON body of an answer."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(address + path, data, headers), timeout=20) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.headers, json.load(refusal)


def example(word):
    """Returns `check` of the only example in the document that has this word."""
    texts = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    [text] = [text for text in texts if word in text]
    expect(EXAMPLE_ADDRESS in text, f"the example with {word} asks for no keys")
    names = {}
    exec(compile(text.replace(EXAMPLE_ADDRESS, address), DOCUMENT.name, "exec"), names)
    return names["check"]


def check_signature_alone(token):
    """Checks a PASETO with JWT claims, which docs/integrations.md leaves to the reader."""
    keys = {key["kid"]: pyseto.Key.from_paserk(key["paserk"]) for key in ask("/.well-known/paserk.json")[2]["keys"]}
    key = keys[json.loads(pyseto.Token.new(token).footer)["kid"]]
    claims = json.loads(pyseto.decode(key, token).payload)
    if (claims["iss"], claims["aud"], claims["token_type"]) != ("postern", "postern", "access"):
        raise ValueError("a token of another issuer, audience or type")
    if time.time() >= claims["exp"]:
        raise ValueError("an expired token")
    return claims


def is_refused(token):
    try:
        check(token)
    except Exception:
        return True
    return False


def seconds(claim):
    """A time as a claim has it, in seconds since 1970."""
    return claim if format != "paseto" else calendar.timegm(time.strptime(claim, "%Y-%m-%dT%H:%M:%SZ"))


def as_claim(moment):
    return moment if format != "paseto" else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


class Signer:
    """Signs as Postern does, by the same key."""

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
    status, headers, paserk = ask("/.well-known/paserk.json")
    expect((status, headers["Cache-Control"]) == (200, MAX_AGE), f"paserk.json: {status} {headers}")
    status, headers, jwks = ask("/.well-known/jwks.json")
    expect((status, headers["Cache-Control"]) == (200, MAX_AGE), f"jwks.json: {status} {headers}")
    [key], [jwk] = paserk["keys"], jwks["keys"]
    expect(key["state"] == "active" and key["kid"] == jwk["kid"], f"{paserk} {jwks}")
    expect(pyseto.Key.from_paserk(key["paserk"]).to_paserk_id() == key["kid"], f"{key} has another id")
    expect(key["paserk"] == "k4.public." + jwk["x"], f"{key} is not {jwk}")


def check_claims(claims, user):
    expect(claims.keys() == CLAIMS[format], f"{claims} are not the documented claims")
    expect((claims["iss"], claims["aud"], claims["sub"]) == ("postern", "postern", user), f"{claims} of {user}")
    issued = seconds(claims["iat"])
    expect(abs(issued - time.time()) < 60, f"{claims} are not of now")
    expect(seconds(claims["exp"]) - issued == TTL, f"{claims} are good for another time than {TTL} s")
    if format == "paseto":
        expect(seconds(claims["nbf"]) == issued - 30, f"{claims} begin at another time than 30 s before")
    else:
        expect((claims["token_type"], claims["user_id"]) == ("access", user), f"{claims} are of another type or user")


def check_tampering(token):
    for place, character in enumerate(token):
        other = token[:place] + ("B" if character == "A" else "A") + token[place + 1 :]
        # The last character of a part may have bits that no strict decoder ignores, and that a lenient one does.
        is_last = place + 1 == len(token) or token[place + 1] == "."
        if character != "." and not is_last:
            expect(is_refused(other), f"{token} with another character at {place} is accepted by the other library")
    for place in range(0, len(token), 7):
        expect(is_refused(token[:place]), f"{token} is accepted where it is cut off at {place}")


def check_forgeries(good, signer):
    """Whatever is wrong with a token whose signature is good, they refuse it, and so do we."""
    expect(check(signer.sign(good)) == good, "a token that the other library has signed is not good for itself")
    expect(ask("/profile/", token=signer.sign(good))[0] == 200, "a token that the other library has signed is refused")
    now = int(time.time())
    for code, change in [
        ("token_expired", {"iat": as_claim(now - 600), "exp": as_claim(now - 300)}),
        ("invalid_token", {"iss": "other"}),
        ("invalid_token", {"aud": "other"}),
    ]:
        token = signer.sign(good | change)
        expect(is_refused(token), f"{change}: accepted by the example")
        status, _, refusal = ask("/profile/", token=token)
        expect((status, refusal.get("code")) == (401, code), f"{change}: {status} {refusal}")


def eventually(holds, what):
    """At most once a second, keys are fetched again for an id that is not known."""
    deadline = time.monotonic() + 30
    while not holds():
        expect(time.monotonic() < deadline, what)
        time.sleep(0.1)


def check_key_change(good, credentials):
    """A verifier that follows the example continues when the keys have changed."""
    subprocess.run(
        [postern, "keys", "rotate", "access", "--emergency"],
        env={"POSTERN_KEYS_DIR": str(keys_directory)}, stdout=subprocess.DEVNULL, check=True,
    )
    signer = Signer(keys_directory)
    eventually(lambda: ask("/profile/", token=signer.sign(good))[0] == 200, "the new key is not taken")
    access = ask("/token/", credentials)[2]["access"]
    eventually(lambda: not is_refused(access), f"{access}, under a new key, is refused")


def main():
    check_key_sets()
    email = f"{format}@example.org"
    body = {"name": "Ada Lovelace", "email": email, "password": "secure_password"}
    status, _, tokens = ask("/create-user/", body)
    expect(status == 201, tokens)
    access = tokens["access"]
    claims = check(access)
    check_claims(claims, claims["sub"])
    # Two tokens of one user, in two sessions.
    again = check(ask("/token/", {"email": email, "password": "secure_password"})[2]["access"])
    check_claims(again, claims["sub"])
    expect(again["sid"] != claims["sid"] and again["jti"] != claims["jti"], f"{again} and {claims} share an id")
    check_tampering(access)
    expect(is_refused(tokens["refresh"]), "a refresh token is taken for an access token")
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
