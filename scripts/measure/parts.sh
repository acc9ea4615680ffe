# The parts of the table of scripts/bench. Sourced.

# database NAME: prints the URL of a database in the PostgreSQL of scripts/with-stores.
database() {
    printf '%s/%s' "${POSTERN_TEST_DATABASE_URL%/*}" "$1"
}

# redis_database NUMBER: prints the URL of a database in the Redis of scripts/with-stores.
redis_database() {
    printf '%s/%s' "${POSTERN_TEST_REDIS_URL%/*}" "$1"
}

# Fills the stores, and starts the servers that most parts use.
start_servers() {
    local once=$users memory_before
    ! wants profile || once=$((users + most_requests * (rounds + 1) * round_seconds))
    stores=(DATABASE_URL="$(database small)" REDIS_URL="$(redis_database 0)")
    env -i "${stores[@]}" POSTERN_KEYS_DIR="$directory/keys" "$postern" keys generate >/dev/null
    memory_before=$(redis_memory)
    "$floor" fill keys="$directory/keys" files="$directory/small" users="$users" database="$(database small)" \
        redis="$(redis_database 0)" access="$once"
    session_bytes=$((($(redis_memory) - memory_before) / users))
    listen floor "$floor" serve database="$(database small)" redis="$(redis_database 0)"
    start_postern errors "$postern" "${stores[@]}" POSTERN_LOG_REQUESTS=errors
    baseline_name[floor]='floor program'
    request floor floor GET /profile/ bearer "$directory/small/floor" "$users"
    request profile errors GET /profile/ bearer "$directory/small/access" "$users"
}

# Signed-in requests on PostgreSQL and Redis.
measure_profile() {
    local sides=(floor profile all fresh)
    start_postern all "$postern" "${stores[@]}" POSTERN_LOG_REQUESTS=all
    request all all GET /profile/ bearer "$directory/small/access" "$users"
    # Has seen none of the tokens.
    start_postern fresh "$postern" "${stores[@]}" POSTERN_LOG_REQUESTS=errors
    request fresh fresh GET /profile/ bearer "$directory/small/access"
    if [[ -n $before ]]; then
        start_postern before "$before" "${stores[@]}"
        request before before GET /profile/ bearer "$directory/small/access" "$users"
        baseline_name[before]='previous version'
        sides+=(before)
    fi
    same_bytes floor profile
    in_turns "${sides[@]}"
    row '`GET /profile/`, lines for errors' profile floor '>= 0.8'
    row '`GET /profile/`, lines for all requests' all floor '>= 0.7'
    row '`GET /profile/`, tokens never sent before' fresh floor '>= 0.35'
    add_row 'CPU of PostgreSQL and Redis per `GET /profile/`' "$(median profile 4 '%.1f µs')" 'floor program' \
        "$(median floor 4 '%.1f µs')" '' '' ''
    [[ -z $before ]] || row '… against the previous version' profile before '<= 0.25' 4 '%.1f µs'
    ! [[ -v pid[before] ]] || stop before
    stop fresh

    request floor-verify floor GET /verify/ bearer "$directory/small/floor" "$users"
    request verify errors GET /verify/ bearer "$directory/small/access" "$users"
    request verify-all all GET /verify/ bearer "$directory/small/access" "$users"
    baseline_name[floor-verify]='floor program'
    same_bytes floor-verify verify
    in_turns floor-verify verify verify-all
    row '`GET /verify/`, lines for errors' verify floor-verify '>= 0.8'
    row '`GET /verify/`, lines for all requests' verify-all floor-verify '>= 0.7'
    stop all
}

# An application on axum, from the documents of its libraries; see scripts/measure/axum.
measure_axum() {
    local program cookies=$directory/cookies
    program=$(build_axum)
    psql "$POSTERN_TEST_DATABASE_URL" -qX -c 'CREATE DATABASE axum'
    listen axum env -i LISTEN=127.0.0.1:0 DATABASE_URL="$(database axum)" REDIS_URL="$(redis_database 1)" USERS="$users" \
        COOKIES="$cookies" "$program"
    request axum axum GET /profile/ cookie "$cookies" "$users"
    baseline_name[axum]='axum-login'
    in_turns axum profile
    row '`GET /profile/`, lines for errors' profile axum '>= 2.5'
    stop axum
}

# Signed-in requests on the embedded store.
measure_embedded() {
    local data=$directory/data token
    "$floor" fill keys="$directory/keys" files="$directory/embedded" users="$users" data="$data"
    start_postern embedded "$postern" POSTERN_DATA_DIR="$data" POSTERN_LOG_REQUESTS=errors
    read -r token <"$directory/embedded/access"
    replay bare-profile "${base[embedded]}/profile/" -H "Authorization: Bearer $token"
    request embedded embedded GET /profile/ bearer "$directory/embedded/access" "$users"
    request bare-profile bare-profile GET /profile/ bearer "$directory/embedded/access" "$users"
    baseline_name[bare-profile]='hyper'
    same_bytes bare-profile embedded
    in_turns embedded bare-profile
    row '`GET /profile/`, embedded store' embedded bare-profile '>= 0.35'
    stop embedded
    stop bare-profile
}

# The response time on one connection.
measure_one() {
    local connections=1
    in_turns floor profile
    row 'median response time of `GET /profile/` on one connection' profile floor '<= 1.3' 2 '%.3f ms'
}

# Requests that use no store.
measure_probes() {
    local path
    start_postern none "$postern" "${stores[@]}" POSTERN_LOG_REQUESTS=none
    for path in /healthz /nothing; do
        replay bare "${base[none]}$path"
        request bare bare GET "$path"
        request probe none GET "$path"
        [[ $path == /healthz ]] || side_status[bare]=404 side_status[probe]=404
        baseline_name[bare]='hyper'
        same_bytes bare probe
        in_turns bare probe
        row "\`GET $path\`, no lines" probe bare '>= 0.7'
        stop bare
    done
    stop none
}

# Refreshes that replace the token: each token is sent once, in the order of issue.
measure_refresh() {
    local once=$((users + 2 * most_requests * (rounds + 1) * round_seconds))
    "$floor" fill keys="$directory/keys" files="$directory/rotated" users="$users" database="$(database rotated)" \
        redis="$(redis_database 2)" refresh="$once"
    # Sessions of its own for the floor program.
    "$floor" fill keys="$directory/keys" files="$directory/rotated-floor" users="$users" database="$(database rotated_floor)" \
        redis="$(redis_database 3)" refresh="$once"
    start_postern rotating "$postern" DATABASE_URL="$(database rotated)" REDIS_URL="$(redis_database 2)" POSTERN_LOG_REQUESTS=errors
    listen rotating-floor "$floor" serve database="$(database rotated_floor)" redis="$(redis_database 3)"
    request refresh rotating POST /refresh/ refresh "$directory/rotated/refresh"
    request floor-refresh rotating-floor POST /refresh/ refresh "$directory/rotated-floor/refresh"
    baseline_name[floor-refresh]='floor program: a script, a `SELECT`, a signature'
    in_turns refresh floor-refresh
    row '`POST /refresh/`, with rotation' refresh floor-refresh '>= 0.8'
    stop rotating
    stop rotating-floor
}

# Logins, against hashes alone.
measure_login() {
    local rounds=$rounds
    ((rounds < 7)) || rounds=7
    # No login is rejected because the queue is long, even if the machine is busy.
    start_postern logins "$postern" "${stores[@]}" POSTERN_LOG_REQUESTS=errors POSTERN_HASH_MAX_WAIT=30s \
        POSTERN_REQUEST_TIMEOUT=1m
    # Different users, because concurrent attempts at one account are limited.
    request login logins POST /token/ login '' "$users"
    baseline_name[hashes]='Argon2id on all processors'
    in_turns login hashes
    row '`POST /token/`' login hashes '>= 0.93' 1 '%.1f/s'
    stop logins
}

# Response times during a flood of logins, in a control group with a CPU quota.
measure_flood() {
    local quiet flooded ratio quota='CPU quota of 1.5' goal='<= 3'
    printf 'measuring a flood of logins\n' >&2
    "$flood" "$flood_seconds" --postern "$postern" --cpus 1.5 >"$directory/flood" || die 70 'the flood failed'
    read -r quiet flooded ratio < <(sed -n 's/^p99, medians: \([0-9.]*\) ms quiet, \([0-9.]*\) ms flooded, \([0-9.]*\) times$/\1 \2 \3/p' "$directory/flood")
    ! grep -q '^no CPU quota' "$directory/flood" || quota='no CPU quota: no control group could be created' goal=''
    add_row "99th percentile at 200 requests/s, during a flood of logins; $quota" "$flooded ms" 'quiet' "$quiet ms" "$ratio" \
        "$ratio" "$goal"
}

# The same requests with a hundred times as many users and sessions.
measure_size() {
    local path
    printf 'storing %s users and sessions\n' "$many_users" >&2
    "$floor" fill keys="$directory/keys" files="$directory/large" users="$many_users" token-users="$users" \
        database="$(database large)" redis="$(redis_database 4)"
    start_postern large "$postern" DATABASE_URL="$(database large)" REDIS_URL="$(redis_database 4)" POSTERN_LOG_REQUESTS=errors
    for path in /profile/ /sessions/; do
        request large large GET "$path" bearer "$directory/large/access" "$users"
        request few errors GET "$path" bearer "$directory/small/access" "$users"
        baseline_name[few]="$users users"
        in_turns few large
        row "time of \`GET $path\` with $many_users users and sessions" large few '<= 1.2' 5 '%.1f µs'
    done
    stop large
}

# redis_memory: prints the memory that Redis uses, in bytes.
redis_memory() {
    redis-cli -u "$POSTERN_TEST_REDIS_URL" INFO memory | sed -n 's/^used_memory:\([0-9]*\)\r*$/\1/p'
}

# Memory, and the size of the program.
measure_memory() {
    local before after number descriptors=() descriptor count=1000 address bytes
    start_postern idle "$postern" "${stores[@]}" POSTERN_LOG_REQUESTS=errors
    before=$(memory idle)
    add_size 'resident memory of an idle server' $((before * 1024)) MiB 20
    address=${base[idle]#http://}
    ulimit -n 4096
    for ((number = 0; number < count; number++)); do
        exec {descriptor}<>"/dev/tcp/${address%:*}/${address#*:}"
        descriptors+=("$descriptor")
        printf 'GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n' "$address" >&"$descriptor"
    done
    for descriptor in "${descriptors[@]}"; do
        read -r _ <&"$descriptor"
    done
    after=$(memory idle)
    for descriptor in "${descriptors[@]}"; do
        exec {descriptor}>&-
    done
    add_size 'memory of an idle connection' $(((after - before) * 1024 / count)) KiB 12
    add_row 'memory of a session in Redis, with its index' "$session_bytes bytes" '' '' '' \
        "$session_bytes" '<= 700 bytes'
    strip -o "$directory/stripped" "$postern"
    add_size 'size of the program, stripped' "$(stat -c %s "$directory/stripped")" MiB 16
    stop idle
}

# add_size WHAT BYTES UNIT GOAL: adds a row about a size that should be at most this many units.
add_size() {
    local number unit=1024
    [[ $3 == KiB ]] || unit=1048576
    number=$(awk -v bytes="$2" -v unit="$unit" 'BEGIN { printf "%.1f", bytes / unit }')
    add_row "$1" "$number $3" '' '' '' "$number" "<= $4 $3"
}

print_table() {
    printf '| what | Postern | compared with | its figure | ratio (middle half) | goal | reached |\n|---|---|---|---|---|---|---|\n'
    cat -- "$directory/table"
    printf '\n%s processors (%s), shared by servers, stores and wrk (%s connections); %s rounds of %s s; load %s at the start; %s.\n' \
        "$(nproc)" "$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1)" "$connections" "$rounds" "$round_seconds" \
        "$load" "$(rustc --version)"
}
