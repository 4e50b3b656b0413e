#!/usr/bin/env bash
# Install from Debian's packages what is missing of Python's venv, PostgreSQL, TimescaleDB and Redis, and for the tests
# Chromium and curl. Runs as root. Arguments: Debian's version (12 or 13), the python to use, run or tools.
# Called by setup.sh.
set -euo pipefail

version=$1
python=$2
part=$3
here=$(cd "$(dirname "$0")" && pwd)
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
case "$version" in
12) postgres=15 ;;
13) postgres=17 ;;
esac

# shellcheck source=saying.sh
. "$here/saying.sh"
install_packages() {
    during "installing $* with apt-get" \
        apt-get install --yes --quiet --no-install-recommends -o Dpkg::Use-Pty=0 "$@"
}
is_missing() { grep -qx "$1" <<<"$("$python" -B -m deploy.local.programs)"; } # no pipe: grep does not read to its end

policy=/usr/sbin/policy-rc.d
clusters=/etc/postgresql-common/createcluster.conf
undo() {
    if [ -n "${our_policy:-}" ]; then rm -f "$policy"; fi
    if [ -n "${our_clusters:-}" ]; then mv -f "$our_clusters" "$clusters"; fi
}
trap undo EXIT

during "asking Debian's archive what there is (apt-get update)" apt-get update --quiet
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then install_packages python3 python3-venv; fi

# Veritas starts servers of its own: what is installed here must not start one beside them.
if [ ! -e "$policy" ]; then
    our_policy=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
if is_missing redis; then
    install_packages redis-server
    if [ -d /run/systemd/system ]; then systemctl --quiet disable redis-server; fi
fi
if is_missing postgresql; then
    install_packages postgresql-common
    our_clusters=$clusters.before-veritas
    cp -p "$clusters" "$our_clusters"
    echo 'create_main_cluster = false' >>"$clusters"
    install_packages "postgresql-$postgres"
fi
if is_missing timescaledb; then
    if [ "$version" = 13 ]; then
        install_packages "postgresql-$postgres-timescaledb"
    else
        install_packages build-essential cmake dpkg-dev "postgresql-server-dev-$postgres" libssl-dev
        bash "$here/timescaledb.sh" "$postgres"
    fi
fi
if [ "$part" = tools ]; then
    for each in chromium curl; do command -v "$each" >/dev/null || install_packages "$each"; done
fi
