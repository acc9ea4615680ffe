# Programs and servers of scripts/bench, and what they use. Sourced.

# build NAME CARGO_ARGUMENT...: builds a program, or finds it among those that are built already, and prints its path.
build() {
    local name=$1 path
    shift
    if [[ -x $programs/$name ]]; then
        printf '%s\n' "$programs/$name"
        return
    fi
    path=$("${CARGO:-cargo}" "$@" --locked --message-format=json-render-diagnostics |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | grep -E "/$name(-[0-9a-f]+)?\$" | tail -n 1)
    [[ -n $path ]] || die 70 "$name was not built"
    printf '%s\n' "$path"
}

# listen NAME COMMAND...: starts a server, and records its process and the address that it prints.
listen() {
    local name=$1 output=$directory/$1.out deadline=$((SECONDS + start_seconds)) url=''
    shift
    # The log is written as usual, but discarded: otherwise the disk is measured too.
    "$@" >"$output" 2>/dev/null &
    pid[$name]=$!
    while [[ -z $url ]]; do
        if ((SECONDS >= deadline)) || ! kill -0 "${pid[$name]}" 2>/dev/null; then
            timeout 5 "$@" >&2 || true
            die 70 "$name does not start; its output is above"
        fi
        sleep 0.05
        url=$(grep -o -m 1 'http://[0-9.:]*' "$output" || true)
    done
    base[$name]=$url
}

# stop NAME: stops a server that this script started.
stop() {
    kill "${pid[$1]}" 2>/dev/null || true
    wait "${pid[$1]}" 2>/dev/null || true
    unset "pid[$1]"
}

# start_postern NAME PROGRAM VARIABLE=VALUE...: starts Postern. The caller's environment is not used: it may name stores that are
# in use.
start_postern() {
    local name=$1 program=$2
    shift 2
    listen "$name" env -i POSTERN_LISTEN=127.0.0.1:0 POSTERN_OPS_LISTEN=127.0.0.1:0 POSTERN_KEYS_DIR="$directory/keys" \
        POSTERN_REFRESH_ROTATION=on "$@" "$program"
}

# replay NAME URL CURL_ARGUMENT...: starts a bare hyper server that returns the response of this request.
replay() {
    local name=$1 url=$2
    shift 2
    curl -s -i --max-time 10 "$@" "$url" >"$directory/$name.response"
    listen "$name" "$bare_hyper" --serve "$directory/$name.response"
}

# Prints the CPU time in ms that PostgreSQL and Redis have used.
stores_cpu() {
    cpu_of "$redis_pid" "$postgres_pid" $(pgrep -P "$postgres_pid")
}

# cpu_of PID...: prints the CPU time in ms of these processes and of those that they have waited for.
cpu_of() {
    local process stat total=0
    for process in "$@"; do
        # A connection may have been closed meanwhile; then its time is that of its parent.
        read -r stat 2>/dev/null <"/proc/$process/stat" || continue
        stat=(${stat##*) })
        total=$((total + stat[11] + stat[12] + stat[13] + stat[14]))
    done
    printf '%d\n' "$((total * 1000 / ticks))"
}

# memory NAME: prints the resident memory of a server, in KiB.
memory() {
    sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/${pid[$1]}/status"
}

find_stores() {
    redis_pid=$(redis-cli -u "$POSTERN_TEST_REDIS_URL" INFO server | sed -n 's/^process_id:\([0-9]*\)\r*$/\1/p')
    postgres_pid=$(psql "$POSTERN_TEST_DATABASE_URL" -AtX -c "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)")
}

# build_axum: builds the application of scripts/measure/axum in the target directory, and prints its path.
build_axum() {
    local crate=${CARGO_TARGET_DIR:-target}/axum-application
    if [[ -x $programs/axum-application ]]; then
        printf '%s\n' "$programs/axum-application"
        return
    fi
    mkdir -p "$crate"
    cp -R scripts/measure/axum/. "$crate"
    (cd "$crate" && CARGO_TARGET_DIR=$PWD/target "${CARGO:-cargo}" build --release --locked >&2)
    printf '%s\n' "$crate/target/release/axum-application"
}
