# Measurements of scripts/bench, in rounds. Sourced.
#
# A side is one of the things that are compared. Its figures are in the file $directory/figures/SIDE, a line for each round: responses
# per second, then the median and the 99th percentile of the response time in ms, then the CPU time of PostgreSQL and Redis per
# response, the time of a response (the inverse of the rate) and the CPU time of the server per response, all in µs.

# request SIDE SERVER METHOD PATH [CREDENTIAL TOKENS CYCLE]: defines a side by its requests; see requests.lua.
request() {
    side_server[$1]=$2 side_method[$1]=$3 side_path[$1]=$4
    side_credential[$1]=${5:-none} side_tokens[$1]=${6:-} side_cycle[$1]=${7:-0}
    side_status[$1]=200
}

# drive SIDE: sends the requests of a side for a round, and prints its figures.
drive() {
    local side=$1 requests microseconds median p99 failed broken next stores_before before stores cpu
    local server=${pid[${side_server[$1]}]}
    local tokens=${side_tokens[$side]}
    local start=${position[${tokens:-none}]:-0}
    stores_before=$(stores_cpu) before=$(cpu_of "$server")
    METHOD=${side_method[$side]} CREDENTIAL=${side_credential[$side]} TOKENS=$tokens START=$start \
        CYCLE=${side_cycle[$side]} PASSWORD=$password \
        wrk --threads 1 --connections "$connections" --duration "${round_seconds}s" \
        --script scripts/measure/requests.lua "${base[${side_server[$side]}]}${side_path[$side]}" >"$directory/wrk" || true
    stores=$(($(stores_cpu) - stores_before)) cpu=$(($(cpu_of "$server") - before))
    read -r requests microseconds median p99 failed broken next < <(sed -n 's/^counted //p' "$directory/wrk") || true
    ((side_status[$side] < 400)) || failed=$((requests - failed))
    [[ ${failed:-1} == 0 && $broken == 0 ]] && ((requests > 0)) || {
        cat -- "$directory/wrk" >&2
        die 70 "$side: expected status ${side_status[$side]} for every ${side_method[$side]} ${side_path[$side]}"
    }
    # Tokens that are sent once only.
    ((side_cycle[$side] > 0)) || [[ -z $tokens ]] || printf '%s' "$next" >"$directory/next"
    awk -v n="$requests" -v t="$microseconds" -v median="$median" -v p99="$p99" -v stores="$stores" -v cpu="$cpu" \
        'BEGIN { print n / t * 1e6, median / 1e3, p99 / 1e3, stores / n * 1e3, t / n, cpu / n * 1e3 }'
}

# in_turns SIDE...: measures these sides in turns.
in_turns() {
    local round side line
    printf 'measuring %s\n' "$*" >&2
    for side in "$@"; do
        rm -f -- "$directory/figures/$side"
    done
    # The first round warms up.
    for ((round = 0; round <= rounds; round++)); do
        for side in "$@"; do
            if [[ $side == hashes ]]; then
                line=$("$bare_argon2" "$round_seconds")
            else
                line=$(drive "$side")
                ! [[ -e $directory/next ]] || position[${side_tokens[$side]}]=$(<"$directory/next")
                rm -f -- "$directory/next"
            fi
            ((round == 0)) || printf '%s\n' "$line" >>"$directory/figures/$side"
        done
    done
}

# quartiles: prints the lower quartile, the median and the upper quartile of the numbers on standard input.
quartiles() {
    sort -g | awk '{ value[NR - 1] = $1 } END { print value[int(NR / 4)], value[int(NR / 2)], value[int(NR * 3 / 4)] }'
}

# median SIDE COLUMN FORMAT: prints the median of a column.
median() {
    printf "$3" "$(cut -d ' ' -f "$2" "$directory/figures/$1" | quartiles | cut -d ' ' -f 2)"
}

# figure SIDE COLUMN FORMAT: prints the median of a column, and after a rate also the CPU time of a response: that of the server
# and that of the stores.
figure() {
    median "$@"
    if [[ $2 == 1 && $1 != hashes ]]; then
        printf '; %s + %s' "$(median "$1" 6 '%.0f')" "$(median "$1" 4 '%.0f µs')"
    fi
}

# row WHAT SIDE BASELINE GOAL [COLUMN FORMAT]: adds a row about two sides that were measured in turns. GOAL is `>= NUMBER`,
# `<= NUMBER` or empty. COLUMN is 1, responses per second, if it is missing.
row() {
    local what=$1 ours=$2 baseline=$3 goal=$4 column=${5:-1} format=${6:-%.0f/s} low middle high
    read -r low middle high < <(paste -d ' ' <(cut -d ' ' -f "$column" "$directory/figures/$ours") \
        <(cut -d ' ' -f "$column" "$directory/figures/$baseline") | awk '{ print $1 / $2 }' | quartiles)
    add_row "$what" "$(figure "$ours" "$column" "$format")" "${baseline_name[$baseline]}" \
        "$(figure "$baseline" "$column" "$format")" "$(printf '%.2f (%.2f–%.2f)' "$middle" "$low" "$high")" "$middle" "$goal"
}

# add_row WHAT FIGURE BASELINE BASELINE_FIGURE RATIO NUMBER GOAL: adds a row; NUMBER decides whether GOAL is reached, and is in
# the unit of GOAL.
add_row() {
    local outcome='' relation goal=''
    read -r relation goal <<<"$7"
    if [[ -n $goal ]]; then
        outcome=$(awk -v number="$6" -v goal="${goal%% *}" -v relation="$relation" \
            'BEGIN { print (relation == ">=" ? number >= goal : number <= goal) ? "yes" : "no" }')
    fi
    [[ $relation == '<=' ]] && relation='at most' || relation='at least'
    printf '| %s | %s | %s | %s | %s | %s | %s |\n' "$1" "$2" "$3" "$4" "$5" "${goal:+$relation $goal}" "$outcome" |
        tee -a "$directory/table" >&2
}

# shape SIDE: sends the first request of a side, and prints the parts of the response that should have the same length on both
# sides of a comparison.
shape() {
    local token=''
    [[ -z ${side_tokens[$1]} ]] || read -r token <"${side_tokens[$1]}"
    curl -s -o "$directory/$1.body" -D "$directory/$1.head" --max-time 10 -X "${side_method[$1]}" -H "Authorization: Bearer $token" \
        "${base[${side_server[$1]}]}${side_path[$1]}"
    sed 's/: .*//; s/\r$//' "$directory/$1.head" | sort
    wc -c <"$directory/$1.body"
}

# same_bytes SIDE SIDE: ends the script unless both sides return the same headers, and bodies of the same length.
same_bytes() {
    diff <(shape "$1") <(shape "$2") >&2 || die 70 "$1 and $2 return different responses"
}
