"""Compares how long refused logins take. Run by scripts/compare-login-times, which says what it does.

The kinds of login are asked in turns, in random order within each turn, on one connection, by the same bytes but for the
email and the password, which are as long. Two kinds are compared by the Mann-Whitney U test (H. B. Mann and D. R. Whitney,
"On a Test of Whether one of Two Random Variables is Stochastically Larger than the Other", Ann. Math. Statist. 18, 1947),
in its normal approximation: ranks, because times have outliers and no normal distribution. They can be told apart where

- the difference is significant: |z| > 3.29 (p < 0.001, two-sided), and
- it is large enough to be of use: the probability that one of the first kind takes longer than one of the second is
  outside of 0.45 to 0.55. An attacker who compares single logins is then right more than 55 times in 100.

Both, because with enough logins any difference becomes significant, and with few of them any effect looks large. The first
tenth of the turns is not counted.

What a run can find depends on how busy the machine is. So each comparison says which difference it would have found: the
smallest delay by which one of the two kinds, delayed, can be told from itself. Where that is half of a login or more, the
run says nothing, and fails too: a login without a hash has to be found.
"""

import argparse
import contextlib
import http.client
import json
import math
import os
import pathlib
import random
import re
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
# What is asked: email and password. All of them are refused.
KINDS = {"unknown email": (UNKNOWN, PASSWORD), "wrong password": (KNOWN, WRONG), "inactive user": (INACTIVE, PASSWORD)}
PAIRS = [("unknown email", "wrong password"), ("inactive user", "wrong password"), ("unknown email", "inactive user")]

SIGNIFICANT_Z = 3.29
LARGEST_EFFECT = 0.05

# The exit codes, beside 0.
TOLD_APART, TOO_BUSY = 1, 2


def mann_whitney(first, second):
    """z, and the probability that one of the first is larger than one of the second (ties count half)."""
    values = sorted((value, kind) for kind, sample in enumerate((first, second)) for value in sample)
    rank_sum, ties, place = 0.0, 0.0, 0
    while place < len(values):
        end = place
        while end < len(values) and values[end][0] == values[place][0]:
            end += 1
        rank_sum += (place + 1 + end) / 2 * sum(1 for _, kind in values[place:end] if kind == 0)
        ties += (end - place) ** 3 - (end - place)
        place = end
    n, m = len(first), len(second)
    u = rank_sum - n * (n + 1) / 2
    variance = n * m / 12 * ((n + m + 1) - ties / ((n + m) * (n + m - 1)))
    return (u - n * m / 2) / math.sqrt(variance), u / (n * m)


def can_be_told_apart(first, second):
    z, probability = mann_whitney(first, second)
    return abs(z) > SIGNIFICANT_Z and abs(probability - 0.5) > LARGEST_EFFECT


def smallest_delay(sample):
    """The smallest delay, in seconds, by which the sample can be told from itself, to a hundredth."""
    low, high = 0.0, max(sample)
    while high - low > high / 100:
        middle = (low + high) / 2
        if can_be_told_apart([taken + middle for taken in sample], sample):
            high = middle
        else:
            low = middle
    return high


class Server:
    """Postern with settings and a directory of its own."""

    def __init__(self, binary, directory, settings):
        self.binary, self.directory = binary, directory
        self.environment = {
            "POSTERN_LISTEN": "127.0.0.1:0",
            "POSTERN_OPS_LISTEN": "127.0.0.1:0",
            "POSTERN_DATA_DIR": str(directory / "data"),
            "POSTERN_LOG": "warn",
            "POSTERN_MAX_CONNECTION_AGE": "24h",
            # However busy the machine is, each login shall come to its end.
            "POSTERN_HASH_MAX_WAIT": "60s",
            "POSTERN_REQUEST_TIMEOUT": "5m",
            "POSTERN_STORE_TIMEOUT": "60s",
        } | settings
        # Whoever guesses this often is told to wait, which is no login.
        if "POSTERN_THROTTLE" in self.run("config").stdout:
            self.environment["POSTERN_THROTTLE"] = "off"

    def run(self, *arguments):
        return subprocess.run(
            [self.binary, *arguments], env=self.environment, cwd=self.directory, check=True, text=True, capture_output=True
        )

    @contextlib.contextmanager
    def serving(self):
        """Serves, and gives a connection."""
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


def ask(connection, path, body):
    """Status and answer, and how many seconds it took."""
    body = json.dumps(body)
    start = time.perf_counter()
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, text, time.perf_counter() - start


def measure(connection, logins):
    """The times of each kind of login, in seconds."""
    times = {kind: [] for kind in KINDS}
    answers = set()
    for turn in range(logins + logins // 10):
        for kind in random.sample(list(KINDS), len(KINDS)):
            email, password = KINDS[kind]
            status, answer, taken = ask(connection, "/token/", {"email": email, "password": password})
            answers.add((status, answer))
            if turn >= logins // 10:
                times[kind].append(taken)
    if len(answers) != 1 or next(iter(answers))[0] != 401:
        sys.exit(f"not one answer for all: {answers}")
    return times


def judge(times):
    """Prints what there is to see, and gives the exit code."""
    outcomes = [0]
    for kind, sample in times.items():
        low, median, high = (1000 * value for value in statistics.quantiles(sample, n=4))
        print(f"  {kind:<15} {len(sample)} logins: median {median:.3f} ms, middle half {low:.3f} to {high:.3f} ms")
    for first, second in PAIRS:
        z, probability = mann_whitney(times[first], times[second])
        difference = 1000 * (statistics.median(times[first]) - statistics.median(times[second]))
        delay = smallest_delay(times[second])
        if can_be_told_apart(times[first], times[second]):
            verdict = "CAN BE TOLD APART"
            outcomes.append(TOLD_APART)
        elif delay > statistics.median(times[second]) / 2:
            verdict = "TOO BUSY TO TELL"
            outcomes.append(TOO_BUSY)
        else:
            verdict = "cannot be told apart"
        print(f"  {first} against {second}: {verdict}")
        print(
            f"    medians differ by {difference:+.3f} ms, z = {z:+.2f}, P(longer) = {probability:.3f}; "
            f"a delay of {1000 * delay:.3f} ms would be found"
        )
    return TOLD_APART if TOLD_APART in outcomes else max(outcomes)


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
                status, answer, _ = ask(connection, "/create-user/", sign_up)
                assert status in (201, 409), answer
            server.run("user", "deactivate", INACTIVE)
            print(f"-- {name}", flush=True)
            return judge(measure(connection, arguments.logins))


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
    sys.exit(TOLD_APART if TOLD_APART in outcomes else max(outcomes))


if __name__ == "__main__":
    main()
