"""What schemathesis cannot read off the OpenAPI page: an account to ask with, and what only the service can judge.

Needs SCHEMATHESIS_BASE_URL, and makes an account there; and SCHEMATHESIS_API_KEY, which is an operator's.
"""

import itertools
import json
import os
import re
import urllib.request

import schemathesis
from hypothesis import strategies as st

WORDS = "amber bridge copper dolphin ember falcon glacier harbour indigo juniper kestrel".split()

# Refusals of requests that are valid by the page, because no schema can say what is wrong with them: the descriptions
# do. Everything else that is valid has to be accepted.
OBJECTIONS = {
    "name": r"Ensure this field has no more than 255 characters\.",
    "email": r"Ensure this field has no more than 254 characters\.|Enter a valid email address\.",
    "password": r"This password is .*",
    "new_password": r"This password is .*|The new password must differ from the old one\.",
}


def ask(path, body=None, token=""):
    request = urllib.request.Request(
        os.environ["SCHEMATHESIS_BASE_URL"] + path,
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)


class Account:
    """Somebody who has signed up."""

    password = "-".join(WORDS[:4])

    def __init__(self, email):
        self.email = email
        self.access = ask("/create-user/", {"name": "Grace Hopper"} | self.credentials())["access"]

    def credentials(self):
        return {"email": self.email, "password": self.password}


# Whose first session no request ends.
account = Account("grace@example.com")
# Those who are about to leave, by their tokens.
leaving = {}
turns = itertools.count()


# Where the page asks for a token, and nowhere else: a 401 for other reasons would count as a token that has expired.
@(
    schemathesis.auth()
    .apply_to(path=["/profile/", "/change-password/", "/sessions/", "/verify/", "/verify/{rest}"])
    .skip_for(path="/profile/", method="DELETE")
)
class SignedIn:
    def get(self, case, context):
        return account.access

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"


@(
    schemathesis.auth(refresh_interval=None)
    .apply_to(path="/profile/", method="DELETE")
    .apply_to(path=["/sessions/{id}/", "/logout-everywhere/"])
)
class Leaving(SignedIn):
    """Somebody else each time: what is asked here ends the session."""

    def get(self, case, context):
        somebody = Account(f"leaving.{len(leaving)}@example.com")
        leaving[somebody.access] = somebody
        return somebody.access


@schemathesis.auth().apply_to(path="/introspect/")
class Operator(SignedIn):
    def get(self, case, context):
        return os.environ["SCHEMATHESIS_API_KEY"]


@schemathesis.hook
def before_call(context, case, kwargs):
    """Gives valid requests what they need to succeed, since nobody guesses a password or a token."""
    is_valid = case.meta is not None and case.meta.generation.mode.is_positive
    if not is_valid or not is_in_need(case.meta.phase.name):
        return
    somebody = leaving.get(case.headers.get("Authorization", "").removeprefix("Bearer "))
    if somebody and case.operation.path == "/sessions/{id}/":
        case.path_parameters["id"] = ask("/sessions/", token=somebody.access)["sessions"][0]["id"]
    if not isinstance(case.body, dict):
        return
    match case.operation.path:
        case "/profile/" if somebody:
            case.body["password"] = somebody.password
        case "/token/":
            case.body |= account.credentials()
        case "/refresh/" | "/logout/":
            # Of another session: schemathesis remembers values, and would end the one that it asks with.
            case.body["refresh"] = ask("/token/", account.credentials())["refresh"]
        case "/introspect/":
            case.body["token"] = account.access
        case "/change-password/":
            case.body["old_password"] = account.password
            # The page has one example of another password, which is soon the old one.
            if case.body["new_password"] == account.password:
                case.body["new_password"] += "_again"


def is_in_need(phase):
    """Every other request of the many; all of the few; none of those that follow links, which bring what is needed."""
    return next(turns) % 2 == 0 if phase == "fuzzing" else phase != "stateful"


@schemathesis.hook
def after_call(context, case, response):
    if case.operation.path == "/change-password/" and response.status_code == 200:
        account.password = case.body["new_password"]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Drops refusals of valid requests, and answers to methods that it cannot name, that the page foresees in words."""
    if failure.code == "ST204":
        return not case.operation.path.startswith("/verify/")
    return failure.code != "ST202" or response.status_code != 400 or not is_foreseen(response.json())


def is_foreseen(refusal):
    if refusal["code"] == "wrong_password":
        return True
    faults = refusal.get("fields", {}).items()
    return refusal["code"] == "validation_failed" and all(
        member in OBJECTIONS and re.fullmatch(OBJECTIONS[member], sentence)
        for member, sentences in faults
        for sentence in sentences
    )


# Generators that meet what the descriptions say, most of the time.
words = st.lists(st.sampled_from(WORDS), min_size=4, max_size=8, unique=True)
schemathesis.openapi.format("password", words.map("_".join))

local_part = st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,16}(\.[a-z0-9]{1,8})?", fullmatch=True)
label = st.from_regex(r"[A-Za-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True) | st.sampled_from(["bücher", "例え"])
top_level = st.sampled_from(["example", "org", "COM", "c0m", "рф"])
schemathesis.openapi.format("idn-email", st.builds("{}@{}.{}".format, local_part, label, top_level))
