#!/bin/sh
# Give each process's database role its password, from the environment; run once the migrations have made the roles.
set -eu
for role in veritas_ingest veritas_core veritas_pipeline; do
    password=$(printenv "$(echo "$role" | tr a-z A-Z)_PASSWORD")
    psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --set=role="$role" --set=password="$password" "$OWNER_URL" <<'SQL'
ALTER ROLE :"role" PASSWORD :'password';
SQL
done
