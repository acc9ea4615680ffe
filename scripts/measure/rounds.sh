# Measurements of scripts/bench, in rounds. Sourced.
#
# A side is one of the things that are compared. Its figures are in the file $directory/SIDE, a line for each round: responses
# per second, then the median and the 99th percentile of the response time in ms, then the CPU time of PostgreSQL and Redis per
# response and the time of a response (the inverse of the rate), both in µs.

# request SIDE SERVER METHOD PATH [CREDENTIAL TOKENS CYCLE]: defines a side by its requests; see requests.lua.
request() {
    side_server[$1]=$2 side_method[$1]=$3 side_path[$1]=$4
    side_credential[$1]=${5:-none} side_tokens[$1]=${6:-} side_cycle[$1]=${7:-0}
    side_status[$1]=200
}

# drive SIDE: sends the requests of a side for a round, and prints its figures.
drive() {
    local side=$1 requests microseconds median p99 failed broken next before cpu
    local tokens=${side_tokens[$side]}
    local start=${position[$tokens]:-0}
    before=$(stores_cpu)
    METHOD=${side_method[$side]} CREDENTIAL=${side_credential[$side]} TOKENS=$tokens START=$start \
        CYCLE=${side_cycle[$side]} EMAIL=$email PASSWORD=$password \
        wrk --threads 1 --connections "$connections" --duration "${round_seconds}s" \
        --script scripts/measure/requests.lua "${base[${side_server[$side]}]}${side_path[$side]}" >"$directory/wrk" || true
    cpu=$(($(stores_cpu) - before))
    read -r requests microseconds median p99 failed broken next < <(sed -n 's/^counted //p' "$directory/wrk") || true
    ((side_status[$side] < 400)) || failed=$((requests - failed))
    [[ ${failed:-1} == 0 && $broken == 0 ]] && ((requests > 0)) || {
        cat -- "$directory/wrk" >&2
        die 70 "$side: expected status ${side_status[$side]} for every ${side_method[$side]} ${side_path[$side]}"
    }
    # Tokens that are sent once only.
    ((side_cycle[$side] > 0)) || [[ -z $tokens ]] || printf '%s' "$next" >"$directory/next"
    awk -v n="$requests" -v t="$microseconds" -v median="$median" -v p99="$p99" -v cpu="$cpu" \
        'BEGIN { print n / t * 1e6, median / 1e3, p99 / 1e3, cpu / n * 1e3, t / n }'
}

# in_turns SIDE...: measures these sides in turns.
in_turns() {
    local round side line
    printf 'measuring %s\n' "$*" >&2
    for side in "$@"; do
        rm -f -- "$directory/$side"
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
            ((round == 0)) || printf '%s\n' "$line" >>"$directory/$side"
        done
    done
}

# quartiles: prints the lower quartile, the median and the upper quartile of the numbers on standard input.
quartiles() {
    sort -g | awk '{ value[NR - 1] = $1 } END { print value[int(NR / 4)], value[int(NR / 2)], value[int(NR * 3 / 4)] }'
}

# median SIDE COLUMN FORMAT: prints the median of a column.
median() {
    printf "$3" "$(cut -d ' ' -f "$2" "$directory/$1" | quartiles | cut -d ' ' -f 2)"
}

# row WHAT SIDE BASELINE GOAL [COLUMN FORMAT]: adds a row about two sides that were measured in turns. GOAL is `>= NUMBER`,
# `<= NUMBER` or empty. COLUMN is 1, responses per second, if it is missing.
row() {
    local what=$1 ours=$2 baseline=$3 goal=$4 column=${5:-1} format=${6:-%.0f/s} low middle high
    read -r low middle high < <(paste -d ' ' <(cut -d ' ' -f "$column" "$directory/$ours") \
        <(cut -d ' ' -f "$column" "$directory/$baseline") | awk '{ print $1 / $2 }' | quartiles)
    add_row "$what" "$(median "$ours" "$column" "$format")" "${baseline_name[$baseline]}" \
        "$(median "$baseline" "$column" "$format")" "$(printf '%.2f (%.2f–%.2f)' "$middle" "$low" "$high")" "$middle" "$goal"
}

# add_row WHAT FIGURE BASELINE BASELINE_FIGURE RATIO NUMBER GOAL: adds a row; NUMBER decides whether GOAL is reached.
add_row() {
    local outcome=''
    if [[ -n $7 ]]; then
        outcome=$(awk -v number="$6" -v goal="${7#* }" -v relation="${7% *}" \
            'BEGIN { print (relation == ">=" ? number >= goal : number <= goal) ? "yes" : "no" }')
    fi
    printf '| %s | %s | %s | %s | %s | %s | %s |\n' "$1" "$2" "$3" "$4" "$5" \
        "$(sed 's/>=/at least/; s/<=/at most/' <<<"$7")" "$outcome" | tee -a "$directory/table" >&2
}
