"""Rotates every key while two replicas serve requests, and fails if a valid token is rejected.

Run by scripts/rotate-under-load.
"""

import argparse
import base64
import calendar
import collections
import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import pyseto

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
POSTERN = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/postern"

MAX_AGE = 15
# Short, so that keys are removed during the run: after 45 s + 1 min, and 90 s + 1 min.
ACCESS_TTL = 45
REFRESH_TTL = 90
USERS = 8
# The time between two rounds of requests of a user.
PAUSE = 0.1
# The time from the last rotation to the end: both replicas sign with the last keys and verify tokens signed with them.
TAIL = 30
TIMEOUT = 60

SETTINGS = {
    "POSTERN_LISTEN": "127.0.0.1:0",
    "POSTERN_OPS_LISTEN": "127.0.0.1:0",
    "POSTERN_LOG_FORMAT": "json",
    # Cheap hashes.
    "POSTERN_HASH_MEMORY": "8KiB",
    "POSTERN_HASH_PASSES": "1",
    "POSTERN_REFRESH_ROTATION": "on",
    "POSTERN_KEYS_MAX_AGE": f"{MAX_AGE}s",
    "POSTERN_ACCESS_TTL": f"{ACCESS_TTL}s",
    "POSTERN_REFRESH_TTL": f"{REFRESH_TTL}s",
}


class Tally:
    """Counts requests by response, and collects the unexpected responses."""

    def __init__(self):
        self.lock = threading.Lock()
        self.responses = collections.Counter()
        self.failures = []
        self.keys = {"access": set(), "refresh": set()}

    def count(self, request, response, is_expected=True, detail=""):
        with self.lock:
            self.responses[request, str(response)] += 1
            if not is_expected:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {request}: {response} {detail}")

    def record_key(self, purpose, key):
        with self.lock:
            self.keys[purpose].add(key)

    def table(self):
        rows = [
            f"{request:<42} {response:<22} {count:>8}" for (request, response), count in sorted(self.responses.items())
        ]
        return "\n".join([f"{'request':<42} {'response':<22} {'count':>8}", *rows])


class Client:
    """Connections to the replicas, for one thread."""

    def __init__(self, replicas):
        self.connections = [http.client.HTTPConnection(replica, timeout=TIMEOUT) for replica in replicas]

    def send(self, replica, method, path, body=None, bearer=None):
        """Returns status, body and headers. Retries once on a new connection if the server has closed the old one."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        connection = self.connections[replica]
        for attempt in (1, 2):
            try:
                connection.request(method, path, None if body is None else json.dumps(body), headers)
                response = connection.getresponse()
                return response.status, json.loads(response.read() or b"{}"), response.headers
            except (http.client.HTTPException, OSError) as error:
                connection.close()
                if attempt == 2:
                    return type(error).__name__, {}, {}


def key_of(access):
    """Returns the key id in the footer of an access token."""
    footer = access.rsplit(".", 1)[1]
    return json.loads(base64.urlsafe_b64decode(footer + "=="))["kid"]


class User(threading.Thread):
    """A user who is always signed in, and uses every token until it expires."""

    def __init__(self, number, replicas, tally, stop, verifier):
        super().__init__(name=f"user {number}")
        self.number, self.tally, self.stop, self.verifier = number, tally, stop, verifier
        self.client = Client(replicas)
        self.random = random.Random(number)
        self.accounts = 0
        self.session_end = 0.0
        self.refresh_token = None
        self.tokens = collections.deque()

    def run(self):
        replica = self.number % 2
        while not self.stop.is_set():
            replica = 1 - replica
            # The next session begins three seconds before the end of this one, or earlier at random.
            if time.time() > self.session_end - 3 or self.random.random() < 0.01:
                self.sign_in(replica)
            else:
                self.refresh(replica)
            self.use_tokens()
            self.stop.wait(PAUSE)

    def sign_in(self, replica):
        """Signs up, or logs in to the last account with a probability of one half."""
        is_new = self.accounts == 0 or self.random.random() < 0.5
        self.accounts += is_new
        body = {"email": f"user{self.number}.{self.accounts}@example.org", "password": "secure_password"}
        path, expected = ("/create-user/", 201) if is_new else ("/token/", 200)
        if is_new:
            body["name"] = "Ada Lovelace"
        sent_at = time.time()
        status, tokens, _ = self.client.send(replica, "POST", path, body)
        self.tally.count(f"POST {path}", status, status == expected, tokens)
        if status == expected:
            self.session_end = sent_at + REFRESH_TTL
            self.store(tokens, sent_at)

    def refresh(self, replica):
        sent_at = time.time()
        body = {"refresh": self.refresh_token}
        status, tokens, _ = self.client.send(replica, "POST", "/refresh/", body)
        if time.time() > self.session_end - 1:
            self.tally.count("POST /refresh/, as it expires", "not checked")
            return
        self.tally.count("POST /refresh/", status, status == 200, tokens)
        if status == 200:
            self.store(tokens, sent_at)

    def store(self, tokens, sent_at):
        """Stores tokens. The expiry of an access token is truncated to seconds, so up to a second of its TTL is lost."""
        valid_until = min(sent_at + ACCESS_TTL, self.session_end) - 1
        self.tokens.append((tokens["access"], valid_until))
        self.tally.record_key("access", key_of(tokens["access"]))
        self.verifier.check(tokens["access"], valid_until)
        if "refresh" in tokens:
            self.refresh_token = tokens["refresh"]
            # The first bytes are the version and the tag of the key.
            self.tally.record_key("refresh", base64.urlsafe_b64decode(tokens["refresh"][:8])[1:5])

    def use_tokens(self):
        """Uses the newest token, the oldest one and a random one at both replicas."""
        while self.tokens and self.tokens[0][1] < time.time() + 0.5:
            self.tokens.popleft()
        if not self.tokens:
            return
        for which, index in (("newest", -1), ("oldest", 0), ("random", self.random.randrange(len(self.tokens)))):
            token, valid_until = self.tokens[index]
            for replica in (0, 1):
                status, body, _ = self.client.send(replica, "GET", "/profile/", bearer=token)
                if time.time() > valid_until:
                    self.tally.count("GET /profile/, as the token expires", "not checked")
                else:
                    request = f"GET /profile/, {which} token, replica {replica + 1}"
                    self.tally.count(request, status, status == 200, body)
            if which == "oldest":
                self.verifier.check(token, valid_until)


class KeyCache:
    """Caches published keys for their max-age. The source is the replicas or another cache."""

    def __init__(self, fetch):
        self.fetch = fetch
        self.keys, self.until = None, 0.0

    def read(self):
        if time.time() >= self.until:
            self.keys, max_age = self.fetch()
            self.until = time.time() + max_age
        return self.keys, MAX_AGE


class Verifier:
    """Checks access tokens offline."""

    def __init__(self, replicas, tally):
        self.client, self.tally = Client(replicas), tally
        self.lock = threading.Lock()
        self.replica = 0
        self.keys = KeyCache(KeyCache(self.fetch).read)

    def fetch(self):
        self.replica = 1 - self.replica
        status, body, headers = self.client.send(self.replica, "GET", "/.well-known/paserk.json")
        self.tally.count("GET /.well-known/paserk.json", status, status == 200, body)
        max_age = re.search(r"max-age=(\d+)", headers.get("Cache-Control", ""))
        keys = {key["kid"]: pyseto.Key.from_paserk(key["paserk"]) for key in body.get("keys", [])}
        return keys, int(max_age[1]) if max_age else 0

    def check(self, token, valid_until):
        with self.lock:
            keys, _ = self.keys.read()
            if time.time() > valid_until:
                return
            key = keys.get(key_of(token))
            if key is None:
                self.tally.count("checked offline", "unknown key", False, key_of(token))
                return
            try:
                pyseto.decode(key, token)
                self.tally.count("checked offline", "valid")
            except pyseto.VerifyError as error:
                self.tally.count("checked offline", "invalid", False, error)


def settings(directory):
    return SETTINGS | {
        "DATABASE_URL": os.environ["POSTERN_TEST_DATABASE_URL"],
        "REDIS_URL": os.environ["POSTERN_TEST_REDIS_URL"],
        "POSTERN_KEYS_DIR": str(directory / "keys"),
    }


def postern(directory, *arguments):
    """Runs a command and returns its output."""
    completed = subprocess.run(
        [directory / "postern", *arguments], env=settings(directory), stdout=subprocess.PIPE, text=True, check=True
    )
    return completed.stdout


@contextlib.contextmanager
def replica(directory, name):
    """Runs a server, and yields its host and port."""
    with open(directory / f"{name}.log", "wb") as log:
        server = subprocess.Popen(
            [directory / "postern", "serve"], env=settings(directory), stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            line = server.stdout.readline()
            if not line:
                sys.exit((directory / f"{name}.log").read_text())
            yield urllib.parse.urlsplit(re.search(r"http://\S+", line)[0]).netloc
        finally:
            server.terminate()
            server.wait()


def rotate(directory, rotations, stop):
    """Generates the next keys; then each rotation activates them and generates new ones."""
    for rotation in range(rotations + 1):
        output = postern(directory, "keys", "rotate")
        title = f"-- rotation {rotation}" if rotation else "-- next keys"
        print(title, time.strftime("%H:%M:%S"), output, sep="\n", flush=True)
        if rotation and output.count("is active") != 3:
            sys.exit("a purpose has no new active key")
        if rotation < rotations:
            keys = json.loads(postern(directory, "keys", "list", "--json"))["keys"]
            due = max(key["activate_from"] for key in keys if key["activate_from"])
            due = calendar.timegm(time.strptime(due, "%Y-%m-%dT%H:%M:%SZ"))
            stop.wait(max(0.0, due - time.time()))
    stop.wait(TAIL)


def run(rotations, directory):
    tally, stop = Tally(), threading.Event()
    # A copy, because another build may replace the program.
    shutil.copy2(POSTERN, directory / "postern")
    postern(directory, "migrate")
    postern(directory, "keys", "generate")
    with replica(directory, "first") as first, replica(directory, "second") as second:
        verifier = Verifier([first, second], tally)
        users = [User(number, [first, second], tally, stop, verifier) for number in range(USERS)]
        for user in users:
            user.start()
        try:
            rotate(directory, rotations, stop)
        finally:
            stop.set()
            for user in users:
                user.join()
    print(tally.table())
    signed = {purpose: len(keys) for purpose, keys in tally.keys.items()}
    print(f"keys that have signed: {signed}; rejected valid tokens and other failures: {len(tally.failures)}")
    failures = tally.failures[:20]
    failures += [f"{purpose}: {count} keys have signed" for purpose, count in signed.items() if count != rotations + 1]
    for log in sorted(directory.glob("*.log")):
        failures += [f"{log.name}: {line}" for line in log.read_text().splitlines() if '"level":"ERROR"' in line][:5]
    if failures:
        print(*failures, sep="\n", file=sys.stderr)
        sys.exit(1)


def main():
    parser = argparse.ArgumentParser(prog="scripts/rotate-under-load", description=__doc__.splitlines()[0])
    parser.add_argument("--rotations", type=int, default=5, metavar="N", help="number of rotations, a minute each (default 5)")
    with tempfile.TemporaryDirectory() as directory:
        run(parser.parse_args().rotations, pathlib.Path(directory))


if __name__ == "__main__":
    main()
