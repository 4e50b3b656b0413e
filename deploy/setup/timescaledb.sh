#!/usr/bin/env bash
# Build TimescaleDB (Apache edition) for PostgreSQL $1 from the source package of the Debian release after this one,
# which carries it where this one does not. Runs as root; about a minute on two cores. Called by debian.sh.
#
# The archive is the machine's own: apt says where its packages of this release come from, and only the release's
# name is changed. apt keeps lists and files of that release in a folder of this run; its settings stay as they are.
set -euo pipefail

postgres=$1
next_release=trixie
. /etc/os-release

# shellcheck source=saying.sh
. "$(dirname "$0")/saying.sh"
work=$(mktemp -d /var/tmp/veritas-timescaledb.XXXXXX)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/source"

archive=$(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Identifier: Packages' |
    awk -v release="$VERSION_CODENAME" '$1 == release && $2 == "main" { print $3; exit }')
[ -n "$archive" ] || { echo "apt has no archive of Debian $VERSION_CODENAME main to derive $next_release from" >&2; exit 1; }
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb-src [signed-by=$keyring] $archive $next_release main" >"$work/sources.list"

apt=(apt-get --quiet
    -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::State="$work/state" -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache="$work/cache"
    -o APT::Sandbox::User=root -o APT::Get::List-Cleanup=false)

during "asking Debian $next_release for the source of TimescaleDB" "${apt[@]}" update
cd "$work/source"
during "fetching it" "${apt[@]}" source --only-source timescaledb
cd timescaledb-*/
during "configuring $(basename "$PWD") for PostgreSQL $postgres, Apache edition" cmake -S . -B build -DPG_CONFIG="/usr/lib/postgresql/$postgres/bin/pg_config" -DCMAKE_BUILD_TYPE=Release \
    -DAPACHE_ONLY=ON -DREGRESS_CHECKS=OFF -DWARNINGS_AS_ERRORS=OFF -DTAP_CHECKS=OFF
during "building it (about half a minute)" make -C build --jobs "$(nproc)"
during "installing it into PostgreSQL $postgres" make -C build install
