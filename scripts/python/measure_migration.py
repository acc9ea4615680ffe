"""Measures a migration of PostgreSQL under load; see scripts/measure-migration."""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import threading
import time

MIGRATIONS = pathlib.Path("sql/postgres/migrations")

LAST_BEFORE = 5

FILL = """
INSERT INTO users (id, email, name, password, standing, epoch, created)
    SELECT (lpad(to_hex(1700000000000 + i), 12, '0') || '7' || substr(md5(i::text), 1, 3) || '8' || substr(md5(i::text), 4, 15))::uuid,
        'user' || i || '@example.org', 'Ada Lovelace ' || i, '$argon2id$' || repeat('x', 90), 'active', i,
        '2020-01-01'::timestamptz + i * interval '1 min' FROM generate_series(1, {rows}) AS i;
INSERT INTO audit_events (id, at, event, user_id, address, user_agent, request_id)
    SELECT (lpad(to_hex(1600000000000 + i), 12, '0') || '7' || substr(md5(i::text), 1, 3) || '8' || substr(md5(i::text), 4, 15))::uuid,
        '2020-01-01'::timestamptz + i * interval '1 min', (ARRAY['login', 'login_failed', 'logout'])[1 + i % 3],
        gen_random_uuid(), ('10.0.' || i % 256 || '.' || i / 256 % 256)::inet, 'Mozilla/5.0', md5(i::text)
    FROM generate_series(1, {rows}) AS i;
VACUUM ANALYZE users, audit_events
"""

RANDOM_USER = "(SELECT 'user' || (1 + floor(random() * {rows}))::int || '@example.org')"

CLIENTS = {
    "password of a user": f"UPDATE users SET password = repeat('y', 100) WHERE email = {RANDOM_USER}",
    "name of a user": f"UPDATE users SET name = 'Grace ' || md5(random()::text) WHERE email = {RANDOM_USER}",
    "sign-up and deletion": """INSERT INTO users (id, email, name, standing, epoch, created)
        VALUES (gen_random_uuid(), 'new@example.org', 'New User', 'active', 1, now());
        DELETE FROM users WHERE email = 'new@example.org'""",
    "audit events": """INSERT INTO audit_events (id, at, event, user_id)
        SELECT gen_random_uuid(), now(), 'login_failed', NULL FROM generate_series(1, 10)""",
    "user by email": f"SELECT name FROM users WHERE email = {RANDOM_USER}",
}

SIZE = "SELECT pg_database_size(current_database()) / 1048576"

WRONG_WORDS = """WITH expected AS (SELECT id, word FROM users, name_words(name) AS word)
    SELECT (SELECT count(*) FROM (SELECT * FROM expected EXCEPT SELECT user_id, word FROM user_name_words) AS missing),
        (SELECT count(*) FROM (SELECT user_id, word FROM user_name_words EXCEPT SELECT * FROM expected) AS former)"""

# The users whom the summaries lack or show as they were.
WRONG_SUMMARIES = """SELECT count(*) FROM users FULL JOIN user_summaries AS shown ON shown.user_id = users.id
    WHERE (users.id, users.email, users.name, users.password IS NOT NULL, users.standing, users.role, users.created,
        users.email_verified) IS DISTINCT FROM
        (shown.user_id, shown.email, shown.name, shown.has_password, shown.standing, shown.role, shown.created,
        shown.email_verified)"""


def psql(url, *arguments):
    """Runs psql, and returns its output."""
    command = ["psql", url, "-qAtX", "-v", "ON_ERROR_STOP=1", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def create_database(name):
    """Creates a database in the server of the tests, and returns its URL."""
    url = os.environ["POSTERN_TEST_DATABASE_URL"]
    psql(url, "-c", f"CREATE DATABASE {name}")
    return f"{url.rsplit('/', 1)[0]}/{name}"


def migrate(program, url, **options):
    """Starts `postern migrate`."""
    environment = os.environ | {"DATABASE_URL": url, "REDIS_URL": os.environ["POSTERN_TEST_REDIS_URL"]}
    return subprocess.Popen([program, "migrate"], env=environment, **options)


def create_schema_before(program, url):
    """Applies the migrations before the measured one, and records them as refinery does."""
    latest = create_database("latest")
    if migrate(program, latest, stdout=subprocess.DEVNULL).wait():
        raise SystemExit("the migration of an empty database failed")
    history = psql(latest, "-c", f"COPY (SELECT * FROM refinery_schema_history WHERE version <= {LAST_BEFORE}) TO STDOUT")
    for version in range(1, LAST_BEFORE + 1):
        (file,) = MIGRATIONS.glob(f"V{version}__*.sql")
        psql(url, "-1", "-f", str(file))
    table = "version int4 PRIMARY KEY, name varchar(255), applied_on varchar(255), checksum varchar(255)"
    psql(url, "-c", f"CREATE TABLE refinery_schema_history ({table})")
    copy = ["psql", url, "-qX", "-v", "ON_ERROR_STOP=1", "-c", "COPY refinery_schema_history FROM STDIN"]
    subprocess.run(copy, input=history + "\n", check=True, text=True)


class Client(threading.Thread):
    """Runs a statement again and again on one connection, and keeps the times."""

    def __init__(self, url, statement):
        super().__init__(daemon=True)
        command = ["psql", url, "-qAtX"]
        self.session = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
        )
        self.statement = " ".join(statement.split())
        self.runs = []
        self.is_over = threading.Event()

    def run(self):
        while not self.is_over.is_set():
            started = time.monotonic()
            self.session.stdin.write(f"{self.statement};\n\\echo done\n")
            while (line := self.session.stdout.readline()) != "done\n":
                if not line:
                    return
            self.runs.append((started, time.monotonic()))
            self.is_over.wait(0.002)

    def stop(self):
        """Ends the client, which must have had no error."""
        self.is_over.set()
        self.join()
        _, errors = self.session.communicate(timeout=30)
        if errors or self.session.returncode:
            raise SystemExit(f"a client failed: {errors}")

    def row(self, begun, ended):
        """Returns the number, the median and the longest time of the statements that touch a period."""
        seconds = [end - start for start, end in self.runs if end >= begun and start <= ended]
        return f"{len(seconds)} | {statistics.median(seconds) * 1e3:.1f} ms | {max(seconds) * 1e3:.0f} ms"


def main():
    """Measures the migration."""
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--users", type=int, default=1_000_000)
    arguments = parser.parse_args()
    program = str(pathlib.Path(arguments.program).resolve())
    url = create_database("measured")
    create_schema_before(program, url)
    for statement in FILL.format(rows=arguments.users).split(";"):
        psql(url, "-c", statement)
    clients = {name: Client(url, statement.format(rows=arguments.users)) for name, statement in CLIENTS.items()}
    size = int(psql(url, "-c", SIZE))
    for client in clients.values():
        client.start()
    begun_before = time.monotonic()
    time.sleep(10)

    begun = time.monotonic()
    migrating = migrate(program, url, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    for line in migrating.stderr:
        print(f"{time.monotonic() - begun:6.1f} s  {line.rstrip()}", flush=True)
    code = migrating.wait()
    ended = time.monotonic()
    for client in clients.values():
        client.stop()
    if code:
        raise SystemExit(f"the migration failed: {code}")
    missing, former = re.split(r"\|", psql(url, "-c", WRONG_WORDS))
    wrong = psql(url, "-c", WRONG_SUMMARIES)
    print(f"\nusers: {arguments.users}; seconds: {ended - begun:.1f}; wrong summaries: {wrong}")
    print(f"missing words: {missing}; words of former names: {former}")
    print(f"MiB of the database: {size} before, {psql(url, '-c', SIZE)} after\n")
    print("| client | before: statements | median | longest | during: statements | median | longest |")
    print("|---|---|---|---|---|---|---|")
    for name, client in clients.items():
        print(f"| {name} | {client.row(begun_before, begun)} | {client.row(begun, ended)} |")


main()
