"""Supplies schemathesis with accounts and tokens, and with the rules of the OpenAPI page that no schema can express.

Needs SCHEMATHESIS_BASE_URL, where it creates accounts; SCHEMATHESIS_API_KEY, SCHEMATHESIS_OFFICE_KEY and
SCHEMATHESIS_READER_KEY, keys with the scopes `introspect`, `admin` and `admin:read`; and the email and the password of an
administrator, SCHEMATHESIS_ADMINISTRATOR and SCHEMATHESIS_PASSWORD.
"""

import itertools
import json
import os
import re
import urllib.parse
import urllib.request

import schemathesis
from hypothesis import strategies as st

WORDS = "amber bridge copper dolphin ember falcon glacier harbour indigo juniper kestrel".split()

# Errors for requests that are valid by the schemas: only the descriptions of the page state these rules. Every other valid
# request must be accepted.
FIELD_ERRORS = {
    # Blank: without a visible character.
    "name": r"Ensure this field has no more than 255 characters\.|This field may not be blank\.",
    "email": r"Ensure this field has no more than 254 characters\.|Enter a valid email address\.|Give at most one of: .*"
    r"|Not a valid string\.",
    "password": r"This password is .*",
    "new_password": r"This password is .*|The new password must differ from the old one\.",
    # Of queries: a text with a control character or of more than 1 KiB, and rules for several parameters.
    "email_prefix": r"Give at most one of: .*",
    "name_word": r"Give at most one of: .*|Enter the beginning of one word, .*|Not a valid string\.",
    "after": r"Expected the cursor of a page.*|Not a valid string\.",
    "created_from": r"Enter a time as in .*",
    "created_before": r"Enter a time as in .*",
    "from": r"Enter a time as in .*|Ensure the period has at most .*",
    "until": r"Enter a time as in .*|Expected a time after `from`\.",
}


def send(path, body=None, token=""):
    request = urllib.request.Request(
        os.environ["SCHEMATHESIS_BASE_URL"] + path,
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)


class Account:
    """A user who has signed up."""

    password = "-".join(WORDS[:4])

    def __init__(self, email):
        self.email = email
        self.access = send("/create-user/", {"name": "Grace Hopper"} | self.credentials())["access"]

    def credentials(self):
        return {"email": self.email, "password": self.password}


# The session of this account: only a password change ends it, which opens another.
account = Account("grace@example.com")
# Accounts whose sessions a request ends, by their access tokens.
leaving = {}
turns = itertools.count()


# Only for the paths that need a token: schemathesis takes any 401 as an expired token.
@(
    schemathesis.auth()
    .apply_to(path=["/profile/", "/profile/export/", "/change-password/", "/reauthenticate/", "/sessions/"])
    .apply_to(path=["/verify/", "/verify/{rest}"])
    .skip_for(path="/profile/", method="DELETE")
)
class SignedIn:
    def get(self, case, context):
        return account

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data.access}"


@(
    schemathesis.auth(refresh_interval=None)
    .apply_to(path="/profile/", method="DELETE")
    .apply_to(path=["/sessions/{id}/", "/logout-everywhere/"])
)
class Leaving(SignedIn):
    """A new account each time, because these requests end the session."""

    def get(self, case, context):
        leaver = Account(f"leaving.{len(leaving)}@example.com")
        leaving[leaver.access] = leaver
        return leaver


@schemathesis.auth().apply_to(path="/introspect/")
class ApiClient:
    def get(self, case, context):
        return os.environ["SCHEMATHESIS_API_KEY"]

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"


class Administrator:
    """The administrator, who stays: no request may end the session or change the account."""

    def __init__(self):
        credentials = {"email": os.environ["SCHEMATHESIS_ADMINISTRATOR"], "password": os.environ["SCHEMATHESIS_PASSWORD"]}
        self.access = send("/token/", credentials)["access"]
        self.id = send("/admin/api/me/", token=self.access)["user"]["id"]

    def member(self):
        """Returns the id of a new member without a password."""
        body = {"name": "Grace Hopper", "email": f"member.{next(turns)}@example.com"}
        return send("/admin/api/users/", body, self.access)["id"]


administrator = Administrator()


@schemathesis.auth().apply_to(path_regex="^/admin/api/")
class AdminCaller:
    """The administrator, and API keys in turn: a key with `admin` for any request, one with `admin:read` for reading."""

    def get(self, case, context):
        return administrator.access

    def set(self, case, data, context):
        callers = [data, data, os.environ["SCHEMATHESIS_OFFICE_KEY"]]
        if case.method.upper() == "GET":
            callers.append(os.environ["SCHEMATHESIS_READER_KEY"])
        case.headers["Authorization"] = f"Bearer {callers[next(turns) % len(callers)]}"


def combine_parameters(query):
    """Leaves the parameters of a query that are valid together."""
    orders = [name for name in ("order", "email", "email_prefix", "name_word") if name in query]
    for name in orders[1:] + ["after"]:
        query.pop(name, None)
    if "until" in query:
        query.pop("from", None)


def spare_administrator(case, is_valid):
    """Lets requests for changes name a new member: valid ones, and any that name the administrator."""
    parameters = case.path_parameters or {}
    if "id" in parameters and (is_valid or str(parameters["id"]).lower() == administrator.id):
        parameters["id"] = administrator.member()
        if is_valid and "session" in parameters:
            leaver = Account(f"guest.{next(turns)}@example.com")
            query = urllib.parse.urlencode({"email": leaver.email})
            parameters["id"] = send(f"/admin/api/users/?{query}", token=administrator.access)["users"][0]["id"]
            parameters["session"] = send("/sessions/", token=leaver.access)["sessions"][0]["id"]
    users = case.body.get("users") if isinstance(case.body, dict) else None
    if isinstance(users, list) and (is_valid or administrator.id in [str(user).lower() for user in users]):
        case.body["users"] = [user for user in users if str(user).lower() != administrator.id][:199] + [administrator.member()]


@schemathesis.hook
def before_call(context, case, kwargs):
    """Adds correct passwords and tokens to valid requests, because schemathesis cannot generate them."""
    is_valid = case.meta is not None and case.meta.generation.mode.is_positive
    is_valid = is_valid and needs_credentials(case.meta.phase.name)
    if case.operation.path.startswith("/admin/api/"):
        spare_administrator(case, is_valid)
        if is_valid and case.query:
            combine_parameters(case.query)
    if not is_valid:
        return
    leaver = leaving.get(case.headers.get("Authorization", "").removeprefix("Bearer "))
    if leaver and case.operation.path == "/sessions/{id}/":
        case.path_parameters["id"] = send("/sessions/", token=leaver.access)["sessions"][0]["id"]
    if not isinstance(case.body, dict):
        return
    match case.operation.path:
        case "/profile/" if leaver:
            case.body["password"] = leaver.password
        case "/profile/export/" | "/reauthenticate/":
            case.body["password"] = account.password
        case "/token/":
            case.body |= account.credentials()
        case "/refresh/" | "/logout/":
            # From another session: schemathesis reuses values, and must not end the session of its own requests.
            case.body["refresh"] = send("/token/", account.credentials())["refresh"]
        case "/introspect/":
            case.body["token"] = account.access
        case "/change-password/":
            case.body["old_password"] = account.password
            # The page has one example of a new password, which soon is the old one.
            if case.body["new_password"] == account.password:
                case.body["new_password"] += "_again"


def needs_credentials(phase):
    """Every other request of the fuzzing phase; every request of other phases, except those that follow links."""
    return next(turns) % 2 == 0 if phase == "fuzzing" else phase != "stateful"


@schemathesis.hook
def after_call(context, case, response):
    if case.operation.path == "/change-password/" and response.status_code == 200:
        account.password = case.body["new_password"]
        account.access = response.json().get("access", account.access)


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Drops errors for valid requests that the page describes in words, and responses of `/verify/` to any method."""
    if failure.code == "ST204":
        return not case.operation.path.startswith("/verify/")
    return failure.code != "ST202" or response.status_code != 400 or not is_documented(response.json())


def is_documented(error):
    if error["code"] == "wrong_password":
        return True
    errors = error.get("fields", {}).items()
    return error["code"] == "validation_failed" and all(
        field in FIELD_ERRORS and re.fullmatch(FIELD_ERRORS[field], sentence)
        for field, sentences in errors
        for sentence in sentences
    )


# Generators whose values meet the descriptions most of the time.
words = st.lists(st.sampled_from(WORDS), min_size=4, max_size=8, unique=True)
schemathesis.openapi.format("password", words.map("_".join))

local_part = st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,16}(\.[a-z0-9]{1,8})?", fullmatch=True)
label = st.from_regex(r"[A-Za-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True) | st.sampled_from(["bücher", "例え"])
top_level = st.sampled_from(["example", "org", "COM", "c0m", "рф"])
schemathesis.openapi.format("idn-email", st.builds("{}@{}.{}".format, local_part, label, top_level))
