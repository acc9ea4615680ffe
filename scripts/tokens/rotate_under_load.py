"""Rotates every key while two replicas are asked, and fails where a valid token is refused.

Run by scripts/rotate-under-load, which says what it does.
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
# Short, so that keys are dropped while the script runs: after 45 s + 1 min, and 90 s + 1 min.
ACCESS_TTL = 45
REFRESH_TTL = 90
PEOPLE = 8
# Between two rounds of requests of a person.
PAUSE = 0.1
# From the last rotation to the end: long enough for both replicas to sign with the last keys, and for each to have been
# asked about that.
TAIL = 30
PATIENCE = 60

SETTINGS = {
    "POSTERN_LISTEN": "127.0.0.1:0",
    "POSTERN_OPS_LISTEN": "127.0.0.1:0",
    "POSTERN_LOG_FORMAT": "json",
    # Hashes that cost nothing.
    "POSTERN_HASH_MEMORY": "8KiB",
    "POSTERN_HASH_PASSES": "1",
    "POSTERN_REFRESH_ROTATION": "on",
    "POSTERN_KEYS_MAX_AGE": f"{MAX_AGE}s",
    "POSTERN_ACCESS_TTL": f"{ACCESS_TTL}s",
    "POSTERN_REFRESH_TTL": f"{REFRESH_TTL}s",
}


class Tally:
    """What was asked, and what was answered."""

    def __init__(self):
        self.lock = threading.Lock()
        self.answers = collections.Counter()
        self.faults = []
        self.keys = {"access": set(), "refresh": set()}

    def count(self, what, answer, is_right=True, detail=""):
        with self.lock:
            self.answers[what, str(answer)] += 1
            if not is_right:
                self.faults.append(f"{time.strftime('%H:%M:%S')} {what}: {answer} {detail}")

    def saw(self, purpose, key):
        with self.lock:
            self.keys[purpose].add(key)

    def table(self):
        rows = [f"{what:<42} {answer:<22} {count:>8}" for (what, answer), count in sorted(self.answers.items())]
        return "\n".join([f"{'asked':<42} {'answer':<22} {'how often':>8}", *rows])


class Client:
    """Connections to the replicas, for one thread."""

    def __init__(self, replicas):
        self.connections = [http.client.HTTPConnection(replica, timeout=PATIENCE) for replica in replicas]

    def ask(self, replica, method, path, body=None, bearer=None):
        """Status, body and headers. A connection that the server has closed meanwhile is opened again, once."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        connection = self.connections[replica]
        for attempt in (1, 2):
            try:
                connection.request(method, path, None if body is None else json.dumps(body), headers)
                answer = connection.getresponse()
                return answer.status, json.loads(answer.read() or b"{}"), answer.headers
            except (http.client.HTTPException, OSError) as error:
                connection.close()
                if attempt == 2:
                    return type(error).__name__, {}, {}


def key_of(access):
    """The key that an access token names in its footer."""
    footer = access.rsplit(".", 1)[1]
    return json.loads(base64.urlsafe_b64decode(footer + "=="))["kid"]


class Person(threading.Thread):
    """Somebody who is always signed in, and uses everything that they hold until it expires."""

    def __init__(self, number, replicas, tally, stop, verifier):
        super().__init__(name=f"person {number}")
        self.number, self.tally, self.stop, self.verifier = number, tally, stop, verifier
        self.client = Client(replicas)
        self.random = random.Random(number)
        self.accounts = 0
        self.session_end = 0.0
        self.refresh_token = None
        self.held = collections.deque()

    def run(self):
        replica = self.number % 2
        while not self.stop.is_set():
            replica = 1 - replica
            # Three seconds before the end of a session, the next one begins, or now and then before.
            if time.time() > self.session_end - 3 or self.random.random() < 0.01:
                self.sign_in(replica)
            else:
                self.refresh(replica)
            self.use_tokens()
            self.stop.wait(PAUSE)

    def sign_in(self, replica):
        """A new account, or every other time a login to the last one."""
        is_new = self.accounts == 0 or self.random.random() < 0.5
        self.accounts += is_new
        body = {"email": f"person{self.number}.{self.accounts}@example.org", "password": "secure_password"}
        path, right = ("/create-user/", 201) if is_new else ("/token/", 200)
        if is_new:
            body["name"] = "Ada Lovelace"
        asked = time.time()
        status, tokens, _ = self.client.ask(replica, "POST", path, body)
        self.tally.count(f"POST {path}", status, status == right, tokens)
        if status == right:
            self.session_end = asked + REFRESH_TTL
            self.take(tokens, asked)

    def refresh(self, replica):
        asked = time.time()
        body = {"refresh": self.refresh_token}
        status, tokens, _ = self.client.ask(replica, "POST", "/refresh/", body)
        if time.time() > self.session_end - 1:
            self.tally.count("POST /refresh/, as it expires", "not judged")
            return
        self.tally.count("POST /refresh/", status, status == 200, tokens)
        if status == 200:
            self.take(tokens, asked)

    def take(self, tokens, asked):
        """An access token's expiry is cut to whole seconds: it is good for a second less than it might be."""
        good_until = min(asked + ACCESS_TTL, self.session_end) - 1
        self.held.append((tokens["access"], good_until))
        self.tally.saw("access", key_of(tokens["access"]))
        self.verifier.check(tokens["access"], good_until)
        if "refresh" in tokens:
            self.refresh_token = tokens["refresh"]
            # The version, and the tag of the key.
            self.tally.saw("refresh", base64.urlsafe_b64decode(tokens["refresh"][:8])[1:5])

    def use_tokens(self):
        """The newest token, the oldest one and any other, at both replicas."""
        while self.held and self.held[0][1] < time.time() + 0.5:
            self.held.popleft()
        if not self.held:
            return
        for which, place in (("newest", -1), ("oldest", 0), ("any", self.random.randrange(len(self.held)))):
            token, good_until = self.held[place]
            for replica in (0, 1):
                status, body, _ = self.client.ask(replica, "GET", "/profile/", bearer=token)
                if time.time() > good_until:
                    self.tally.count("GET /profile/, as the token expires", "not judged")
                else:
                    what = f"GET /profile/, {which} token, replica {replica + 1}"
                    self.tally.count(what, status, status == 200, body)
            if which == "oldest":
                self.verifier.check(token, good_until)


class Kept:
    """Published keys that are kept for as long as they may, whether from the replicas or from another who keeps them."""

    def __init__(self, fetch):
        self.fetch = fetch
        self.keys, self.until = None, 0.0

    def read(self):
        if time.time() >= self.until:
            self.keys, max_age = self.fetch()
            self.until = time.time() + max_age
        return self.keys, MAX_AGE


class Verifier:
    """Checks access tokens without asking the service about them."""

    def __init__(self, replicas, tally):
        self.client, self.tally = Client(replicas), tally
        self.lock = threading.Lock()
        self.replica = 0
        self.keys = Kept(Kept(self.fetch).read)

    def fetch(self):
        self.replica = 1 - self.replica
        status, body, headers = self.client.ask(self.replica, "GET", "/.well-known/paserk.json")
        self.tally.count("GET /.well-known/paserk.json", status, status == 200, body)
        max_age = re.search(r"max-age=(\d+)", headers.get("Cache-Control", ""))
        keys = {key["kid"]: pyseto.Key.from_paserk(key["paserk"]) for key in body.get("keys", [])}
        return keys, int(max_age[1]) if max_age else 0

    def check(self, token, good_until):
        with self.lock:
            keys, _ = self.keys.read()
            if time.time() > good_until:
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
    """What a command prints."""
    ended = subprocess.run(
        [directory / "postern", *arguments], env=settings(directory), stdout=subprocess.PIPE, text=True, check=True
    )
    return ended.stdout


@contextlib.contextmanager
def replica(directory, name):
    """A server that runs, as host and port."""
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
    """The first time makes keys that will be next; each time after that activates them and makes others."""
    for rotation in range(rotations + 1):
        told = postern(directory, "keys", "rotate")
        print(f"-- rotation {rotation}" if rotation else "-- next keys", time.strftime("%H:%M:%S"), told, sep="\n", flush=True)
        if rotation and told.count("is active") != 3:
            sys.exit("not every purpose has a new active key")
        if rotation < rotations:
            keys = json.loads(postern(directory, "keys", "list", "--json"))["keys"]
            due = max(key["activate_from"] for key in keys if key["activate_from"])
            due = calendar.timegm(time.strptime(due, "%Y-%m-%dT%H:%M:%SZ"))
            stop.wait(max(0.0, due - time.time()))
    stop.wait(TAIL)


def run(rotations, directory):
    tally, stop = Tally(), threading.Event()
    # Somebody may build another one meanwhile.
    shutil.copy2(POSTERN, directory / "postern")
    postern(directory, "migrate")
    postern(directory, "keys", "generate")
    with replica(directory, "first") as first, replica(directory, "second") as second:
        verifier = Verifier([first, second], tally)
        people = [Person(number, [first, second], tally, stop, verifier) for number in range(PEOPLE)]
        for person in people:
            person.start()
        try:
            rotate(directory, rotations, stop)
        finally:
            stop.set()
            for person in people:
                person.join()
    print(tally.table())
    signed = {purpose: len(keys) for purpose, keys in tally.keys.items()}
    print(f"keys that have signed: {signed}; valid tokens refused, and other faults: {len(tally.faults)}")
    faults = tally.faults[:20]
    faults += [f"{purpose}: {count} keys have signed" for purpose, count in signed.items() if count != rotations + 1]
    for log in sorted(directory.glob("*.log")):
        faults += [f"{log.name}: {line}" for line in log.read_text().splitlines() if '"level":"ERROR"' in line][:5]
    if faults:
        print(*faults, sep="\n", file=sys.stderr)
        sys.exit(1)


def main():
    parser = argparse.ArgumentParser(prog="scripts/rotate-under-load", description=__doc__.splitlines()[0])
    parser.add_argument("--rotations", type=int, default=5, metavar="N", help="how many, a minute each (default 5)")
    with tempfile.TemporaryDirectory() as directory:
        run(parser.parse_args().rotations, pathlib.Path(directory))


if __name__ == "__main__":
    main()
