#!/bin/sh
# Turns the secret files of docker-compose.yml into settings, and becomes the command.
set -eu
secret() { cat "/run/secrets/$1"; }

if [ -e /run/secrets/postgres_password ]; then
    export HEMLINE_DATABASE_URL="postgresql://hemline:$(secret postgres_password)@${POSTGRES_HOST}/hemline"
fi
if [ -e /run/secrets/redis_password ]; then
    export HEMLINE_REDIS_URL="redis://:$(secret redis_password)@${REDIS_HOST}:6379/0"
fi
if [ -e /run/secrets/secret_key ]; then
    HEMLINE_SECRET_KEY="$(secret secret_key)"
    export HEMLINE_SECRET_KEY
fi
exec "$@"
