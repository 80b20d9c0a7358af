#!/bin/sh
# Builds the images of the Guestbook; the options are those of build-images.ts.
set -eu
cd "$(dirname "$0")/../.."
exec node_modules/.bin/tsx examples/guestbook/build-images.ts "$@"
