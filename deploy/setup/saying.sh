# What set-up says while it works, sourced by its scripts. A step that takes long says what it is at: on a terminal in a
# line that changes every second, in a log in a new line every 10 s (BEAT_S names another time).

export SETUP_STARTED=${SETUP_STARTED:-$(date +%s%N)} # one clock for all of set-up's scripts

say() { printf 'setup %6.1f s  %s\n' "$(((($(date +%s%N) - SETUP_STARTED)) / 100000000))e-1" "$1"; }

# during WORDS COMMAND…: run a command whose output nobody wants to read, and say meanwhile that it is still at work.
# Where it fails, the end of what it wrote is shown and its exit code returned.
during() {
    local words=$1 log beat status=0
    shift
    log=$(mktemp)
    say "$words"
    beat "$log" &
    beat=$!
    "$@" >"$log" 2>&1 </dev/null || status=$?
    kill "$beat" 2>/dev/null || true
    wait "$beat" 2>/dev/null || true
    if [ -t 1 ]; then printf '\r\033[K'; fi
    if [ "$status" != 0 ]; then
        say "$words: failed with exit code $status, and wrote at the end:"
        tail -n 40 "$log" >&2
    fi
    rm -f "$log"
    return "$status"
}

# Say how long a step has been at work, and the last line that it wrote; ends when it is told to, or set-up is gone.
beat() {
    local every=${BEAT_S:-10} begun=$SECONDS never width last
    if [ -t 1 ]; then every=${BEAT_S:-1}; fi
    width=$(tput cols 2>/dev/null || echo 120)
    exec {never}<> <(:) # nothing is ever to be read there: a wait that leaves no process behind
    while kill -0 "$$" 2>/dev/null; do
        read -rt "$every" -u "$never" || true
        last=$(tail -n 1 "$1" 2>/dev/null | tr -dc '[:print:]')
        if [ -t 1 ]; then
            last="      $((SECONDS - begun)) s  $last"
            printf '\r\033[K%s' "${last:0:width-1}"
        else
            say "  still at it after $((SECONDS - begun)) s${last:+: ${last:0:120}}"
        fi
    done
}
