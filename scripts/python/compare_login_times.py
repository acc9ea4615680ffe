"""Compares the response times of rejected logins. Run by scripts/compare-login-times.

The kinds of login are sent in turns, in random order within each turn, on one connection. The requests differ only in the
email and the password, which have the same length. Two kinds are compared by the Mann-Whitney U test (H. B. Mann and
D. R. Whitney, "On a Test of Whether one of Two Random Variables is Stochastically Larger than the Other", Ann. Math.
Statist. 18, 1947), in its normal approximation. It uses ranks, because times have outliers and no normal distribution. Two
kinds can be distinguished if

- the difference is significant: |z| > 3.29 (p < 0.001, two-sided), and
- it is large enough to be useful: the probability that a login of the first kind takes longer than one of the second is
  outside of 0.45 to 0.55. An attacker who compares single logins is then right in more than 55 % of the cases.

Both are required, because with enough logins any difference is significant, and with few logins any effect looks large. The
first tenth of the turns is not counted.

The first comparison has no imported hashes. The second one has users whose password Django has hashed, each as many as users
with a renewed hash, and four classes: unknown emails of both kinds, wrong passwords and inactive users of both kinds. The kind
of an unknown email follows from the key in the store, which this script sets. In addition, new unknown emails are compared with
users of whom half have renewed their hash: an attacker does not know the kind of an email, so both must have the same
distribution.

The sensitivity of a run depends on how busy the machine is. Each comparison therefore prints the smallest difference that it
can detect: the smallest delay that distinguishes one of the two kinds from itself. If this is half of a login or more, the
run has no result and fails: it could not detect a login without a hash.
"""

import argparse
import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import math
import os
import pathlib
import random
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))

PASSWORD = "amber-bridge-copper-dolphin"
WRONG = "amber-bridge-copper-dolphiN"
KNOWN, INACTIVE, UNKNOWN = (f"{name}@example.org" for name in ("ada.known", "ada.close", "ada.never"))
# The email and password of each kind. All are rejected.
KINDS = {"unknown email": (UNKNOWN, PASSWORD), "wrong password": (KNOWN, WRONG), "inactive user": (INACTIVE, PASSWORD)}
PAIRS = [("unknown email", "wrong password"), ("inactive user", "wrong password"), ("unknown email", "inactive user")]

# The second comparison: users of whom half still have an imported hash. The kinds with two lists of emails use a random one.
IMPORTED_PAIRS = [
    ("unknown, of ours", "wrong, renewed"),
    ("inactive, renewed", "wrong, renewed"),
    ("unknown, imported", "wrong, imported"),
    ("inactive, imported", "wrong, imported"),
    ("new unknown email", "wrong, either"),
]
ROUNDS = 260_000
RECIPE = f"pbkdf2_sha256${ROUNDS}"
KEY = bytes([7]) * 32
RENEWED = [f"ada.renew{number:02}@example.org" for number in range(10)]
IMPORTED = [f"ada.impor{number:02}@example.org" for number in range(10)]

SIGNIFICANT_Z = 3.29
LARGEST_EFFECT = 0.05

# The exit codes other than 0.
DISTINGUISHABLE, TOO_BUSY = 1, 2


def mann_whitney(first, second):
    """Returns z, and the probability that a value of the first is larger than one of the second (ties count half)."""
    values = sorted((value, kind) for kind, sample in enumerate((first, second)) for value in sample)
    rank_sum, ties, start = 0.0, 0.0, 0
    while start < len(values):
        end = start
        while end < len(values) and values[end][0] == values[start][0]:
            end += 1
        rank_sum += (start + 1 + end) / 2 * sum(1 for _, kind in values[start:end] if kind == 0)
        ties += (end - start) ** 3 - (end - start)
        start = end
    n, m = len(first), len(second)
    u = rank_sum - n * (n + 1) / 2
    variance = n * m / 12 * ((n + m + 1) - ties / ((n + m) * (n + m - 1)))
    return (u - n * m / 2) / math.sqrt(variance), u / (n * m)


def are_distinguishable(first, second):
    z, probability = mann_whitney(first, second)
    return abs(z) > SIGNIFICANT_Z and abs(probability - 0.5) > LARGEST_EFFECT


def smallest_delay(sample):
    """Returns the smallest delay, in seconds and to 1 %, that distinguishes the sample from itself."""
    low, high = 0.0, max(sample)
    while high - low > high / 100:
        middle = (low + high) / 2
        if are_distinguishable([duration + middle for duration in sample], sample):
            high = middle
        else:
            low = middle
    return high


class Server:
    """A Postern with its own settings and directory."""

    def __init__(self, binary, directory, settings):
        self.binary, self.directory = binary, directory
        self.environment = {
            "POSTERN_LISTEN": "127.0.0.1:0",
            "POSTERN_OPS_LISTEN": "127.0.0.1:0",
            "POSTERN_DATA_DIR": str(directory / "data"),
            "POSTERN_LOG": "warn",
            "POSTERN_MAX_CONNECTION_AGE": "24h",
            # No login times out, however busy the machine is.
            "POSTERN_HASH_MAX_WAIT": "60s",
            "POSTERN_REQUEST_TIMEOUT": "5m",
            "POSTERN_STORE_TIMEOUT": "60s",
        } | settings
        # Otherwise the rate limit rejects most of these logins.
        if "POSTERN_THROTTLE" in self.run("config").stdout:
            self.environment["POSTERN_THROTTLE"] = "off"

    def run(self, *arguments):
        return subprocess.run(
            [self.binary, *arguments], env=self.environment, cwd=self.directory, check=True, text=True, capture_output=True
        )

    @contextlib.contextmanager
    def serving(self):
        """Runs the server, and yields a connection."""
        with open(self.directory / "log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [self.binary, "serve"], env=self.environment, cwd=self.directory, stdout=subprocess.PIPE, stderr=log, text=True
            )
        try:
            line = process.stdout.readline()
            address = re.search(r"http://([0-9.]+):([0-9]+)", line)
            if not address:
                sys.exit("Postern does not start:\n" + (self.directory / "log").read_text())
            yield http.client.HTTPConnection(address[1], int(address[2]), timeout=60)
        finally:
            process.terminate()
            process.wait(30)


def send(connection, path, body):
    """Returns the status, the body and the response time in seconds."""
    body = json.dumps(body)
    start = time.perf_counter()
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    text = response.read()
    return response.status, text, time.perf_counter() - start


def measure(connection, logins, kinds):
    """Returns the response times of each kind of login, in seconds. A kind has an email, or a function that returns one."""
    times = {kind: [] for kind in kinds}
    responses = set()
    for turn in range(logins + logins // 10):
        for kind in random.sample(list(kinds), len(kinds)):
            email, password = kinds[kind]
            email = email() if callable(email) else email
            status, response, duration = send(connection, "/token/", {"email": email, "password": password})
            responses.add((status, response))
            if turn >= logins // 10:
                times[kind].append(duration)
    if len(responses) != 1 or next(iter(responses))[0] != 401:
        sys.exit(f"expected the same response with status 401 for all logins: {responses}")
    return times


def report(times, pairs):
    """Prints the comparisons, and returns the exit code."""
    outcomes = [0]
    for kind, sample in times.items():
        low, median, high = (1000 * value for value in statistics.quantiles(sample, n=4))
        print(f"  {kind:<18} {len(sample)} logins: median {median:.3f} ms, middle half {low:.3f} to {high:.3f} ms")
    for first, second in pairs:
        z, probability = mann_whitney(times[first], times[second])
        difference = 1000 * (statistics.median(times[first]) - statistics.median(times[second]))
        delay = smallest_delay(times[second])
        if are_distinguishable(times[first], times[second]):
            verdict = "CAN BE DISTINGUISHED"
            outcomes.append(DISTINGUISHABLE)
        elif delay > statistics.median(times[second]) / 2:
            verdict = "TOO BUSY FOR A RESULT"
            outcomes.append(TOO_BUSY)
        else:
            verdict = "cannot be distinguished"
        print(f"  {first} against {second}: {verdict}")
        print(
            f"    medians differ by {difference:+.3f} ms, z = {z:+.2f}, P(longer) = {probability:.3f}; "
            f"a delay of {1000 * delay:.3f} ms would be detected"
        )
    return DISTINGUISHABLE if DISTINGUISHABLE in outcomes else max(outcomes)


def sign_up_all(connection, emails):
    for email in emails:
        status, response, _ = send(connection, "/create-user/", {"name": "Grace Hopper", "email": email, "password": PASSWORD})
        assert status in (201, 409), response


def import_hashes(settings, directory):
    """Leaves only the users of the second comparison, and gives half of them an imported hash, as an import does."""
    salt = b"salt"
    digest = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), salt, ROUNDS)
    encoded = f"{RECIPE}${salt.decode()}${base64.b64encode(digest).decode()}"
    literal, row = ("'\\x{}'", "true") if "DATABASE_URL" in settings else ("x'{}'", "1")
    quoted = lambda emails: ", ".join(f"'{email}'" for email in emails)
    statements = f"""
        DELETE FROM users WHERE email NOT IN ({quoted(RENEWED + IMPORTED)});
        UPDATE users SET password = '{encoded}' WHERE email IN ({quoted(IMPORTED)});
        DELETE FROM imported_hashes;
        DELETE FROM imported_hashes_key;
        INSERT INTO imported_hashes (recipe, users) VALUES ('{RECIPE}', {len(IMPORTED)});
        INSERT INTO imported_hashes_key (only_row, key) VALUES ({row}, {literal.format(KEY.hex())});
    """
    if "DATABASE_URL" in settings:
        subprocess.run(["psql", "-qX", "-v", "ON_ERROR_STOP=1", settings["DATABASE_URL"]], input=statements, check=True, text=True)
    else:
        with contextlib.closing(sqlite3.connect(directory / "data" / "postern.db")) as store:
            store.executescript(statements)


def imported_kinds():
    """Returns the kinds of the second comparison."""

    def unknown():
        return f"ada.{random.randrange(10**7):07}@example.org"

    def unknown_of(is_imported):
        while True:
            email = unknown()
            digest = hmac.new(KEY, email.encode(), hashlib.sha256).digest()
            if (int.from_bytes(digest[:8], "big") < 2**63) == is_imported:
                return email

    return {
        "unknown, of ours": (lambda: unknown_of(False), PASSWORD),
        "wrong, renewed": (RENEWED[1], WRONG),
        "inactive, renewed": (RENEWED[0], PASSWORD),
        "unknown, imported": (lambda: unknown_of(True), PASSWORD),
        "wrong, imported": (IMPORTED[1], WRONG),
        "inactive, imported": (IMPORTED[0], PASSWORD),
        "new unknown email": (unknown, PASSWORD),
        "wrong, either": (lambda: random.choice(RENEWED[1:] + IMPORTED[1:]), WRONG),
    }


def compare(name, settings, arguments):
    with tempfile.TemporaryDirectory() as directory:
        binary = TARGET / ("release" if arguments.release else "debug") / "postern"
        server = Server(binary, pathlib.Path(directory), settings)
        if "DATABASE_URL" in settings:
            server.run("keys", "generate")
            server.run("migrate")
        with server.serving() as connection:
            for email in (KNOWN, INACTIVE):
                sign_up = {"name": "Grace Hopper", "email": email, "password": PASSWORD}
                status, response, _ = send(connection, "/create-user/", sign_up)
                assert status in (201, 409), response
            server.run("user", "deactivate", INACTIVE)
            print(f"-- {name}", flush=True)
            outcomes = [report(measure(connection, arguments.logins, KINDS), PAIRS)]
            sign_up_all(connection, RENEWED + IMPORTED)
            for email in (RENEWED[0], IMPORTED[0]):
                server.run("user", "deactivate", email)
        import_hashes(settings, pathlib.Path(directory))
        # A server reads the share of imported hashes when it starts.
        with server.serving() as connection:
            time.sleep(2)
            print(f"-- {name}, half of the users with {RECIPE}", flush=True)
            outcomes.append(report(measure(connection, arguments.logins, imported_kinds()), IMPORTED_PAIRS))
        return DISTINGUISHABLE if DISTINGUISHABLE in outcomes else max(outcomes)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--logins", type=int, default=1000)
    parser.add_argument("--release", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as keys:
        servers = {
            "DATABASE_URL": os.environ["POSTERN_TEST_DATABASE_URL"],
            "REDIS_URL": os.environ["POSTERN_TEST_REDIS_URL"],
            "POSTERN_KEYS_DIR": str(pathlib.Path(keys) / "keys"),
        }
        backends = {"embedded store": {}, "PostgreSQL and Redis": servers}
        outcomes = [compare(name, settings, arguments) for name, settings in backends.items()]
    sys.exit(DISTINGUISHABLE if DISTINGUISHABLE in outcomes else max(outcomes))


if __name__ == "__main__":
    main()
