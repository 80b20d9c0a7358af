#!/bin/sh
# Builds the images of the WordPress example; the options are those of build-images.ts.
set -eu
cd "$(dirname "$0")/../.."
exec node_modules/.bin/tsx examples/wordpress/build-images.ts "$@"
