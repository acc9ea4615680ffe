"""Measures imports of users; see scripts/measure-import."""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request

TABLE = """
CREATE TABLE auth_user (id integer PRIMARY KEY, password varchar(128) NOT NULL, last_login timestamptz,
    is_superuser boolean NOT NULL, username varchar(150) NOT NULL UNIQUE, first_name varchar(150) NOT NULL,
    last_name varchar(150) NOT NULL, email varchar(254) NOT NULL, is_staff boolean NOT NULL, is_active boolean NOT NULL,
    date_joined timestamptz NOT NULL);
INSERT INTO auth_user SELECT i, 'pbkdf2_sha256$1000000$' || substr(md5(i::text), 1, 22) || '$' ||
    encode(sha256(i::text::bytea), 'base64'), NULL, false, 'user' || i, 'Ada', 'Lovelace ' || i,
    substr(md5(i::text), 1, 12) || i || '@example.org', i % 1000 = 0, true,
    '2015-01-01'::timestamptz + i * interval '5 min' FROM generate_series(1, {users}) AS i;
VACUUM ANALYZE auth_user
"""

DUMP = """
SELECT json_build_object('model', 'auth.user', 'pk', id, 'fields', to_jsonb(auth_user) - 'id') FROM auth_user ORDER BY id
"""


def psql(url, *statements):
    """Runs SQL, and returns its output."""
    commands = [argument for statement in statements for argument in ("-c", statement)]
    command = ["psql", url, "-qAt", "-v", "ON_ERROR_STOP=1", *commands]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def create_database(name):
    """Creates a database in the server of the tests, and returns its URL."""
    url = os.environ["POSTERN_TEST_DATABASE_URL"]
    psql(url, f"CREATE DATABASE {name}")
    return f"{url.rsplit('/', 1)[0]}/{name}"


class Requests(threading.Thread):
    """Changes a profile again and again, and keeps the times."""

    def __init__(self, address, token):
        super().__init__(daemon=True)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        body = json.dumps({"name": "Beside"}).encode()
        self.request = urllib.request.Request(f"http://{address}/profile/", body, headers, method="PATCH")
        self.seconds = []
        self.is_over = threading.Event()

    def run(self):
        while not self.is_over.is_set():
            started = time.monotonic()
            with urllib.request.urlopen(self.request, timeout=30) as response:
                response.read()
            self.seconds.append(time.monotonic() - started)
            self.is_over.wait(0.01)


def post(address, path, body):
    """Returns the response to a JSON request."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://{address}{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def peak_mib(process):
    """Waits for the end of a process, and returns its highest resident memory."""
    peak = 0
    while process.poll() is None:
        try:
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        except OSError:
            continue
        found = re.search(r"VmHWM:\s+(\d+)", status)
        peak = max(peak, int(found.group(1)) // 1024 if found else 0)
        time.sleep(0.1)
    return peak


def measure(program, source, environment, directory):
    """Imports a source beside a server, and returns the row."""
    server = subprocess.Popen(
        [program, "serve"], env=environment, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        address = re.search(r"127\.0\.0\.1:\d+", server.stdout.readline()).group()
        password = "correct horse battery"
        post(address, "/create-user/", {"email": "beside@example.org", "name": "Beside", "password": password})
        tokens = post(address, "/token/", {"email": "beside@example.org", "password": password})
        requests = Requests(address, tokens["access"])
        requests.start()
        command = [program, "import", "django", "--from", source, "--map", "map.csv", "--json"]
        importing = subprocess.Popen(command, env=environment, cwd=directory, stdout=subprocess.PIPE, text=True)
        peak = peak_mib(importing)
        summary = json.loads(importing.stdout.read())
        requests.is_over.set()
        requests.join()
        if importing.returncode or summary["refused"]:
            raise SystemExit(f"the import failed: {summary}")
        rate = summary["imported"] / summary["seconds"]
        median, longest = statistics.median(requests.seconds) * 1e3, max(requests.seconds) * 1e3
        return f"{summary['seconds']} | {rate:.0f} | {peak} MiB | {median:.1f} ms | {longest:.0f} ms"
    finally:
        server.terminate()
        server.wait()


def main():
    """Measures every combination."""
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--embedded", action="store_true")
    arguments = parser.parse_args()
    program = str(pathlib.Path(arguments.program).resolve())
    with tempfile.TemporaryDirectory() as directory:
        database = create_database("django")
        psql(database, *TABLE.format(users=arguments.users).split(";"))
        dump, csv = (os.path.join(directory, name) for name in ("dump.jsonl", "users.csv"))
        pathlib.Path(dump).write_text(psql(database, DUMP), encoding="utf-8")
        psql(database, f"\\copy auth_user TO '{csv}' CSV HEADER")
        base = {"POSTERN_LISTEN": "127.0.0.1:0", "POSTERN_OPS_LISTEN": "127.0.0.1:0", "POSTERN_LOG_REQUESTS": "none"}
        print("| from | into | seconds | users per second | memory | median write | longest write |")
        print("|---|---|---|---|---|---|---|")
        for number, (kind, source) in enumerate((("PostgreSQL", database), ("dump", dump), ("CSV", csv))):
            target = create_database(f"postern{number}")
            stores = {"DATABASE_URL": target, "REDIS_URL": os.environ["POSTERN_TEST_REDIS_URL"], "POSTERN_KEYS_DIR": "keys"}
            environment = base | stores
            for command in ("keys", "generate"), ("migrate",):
                subprocess.run([program, *command], env=environment, cwd=directory, check=True, capture_output=True)
            print(f"| {kind} | PostgreSQL |", measure(program, source, environment, directory), "|", flush=True)
            psql(os.environ["POSTERN_TEST_DATABASE_URL"], f"DROP DATABASE postern{number} WITH (FORCE)")
        if arguments.embedded:
            print("| CSV | embedded store |", measure(program, csv, base, directory), "|", flush=True)


main()
