#!/usr/bin/env bash
# The code sandbox on this host, on x86-64 and aarch64 alike, for runs that are given SANDBOX_URL. Ctrl-C ends it.
#   PORT=8080 bash scripts/sandbox.sh [options of `retool sandbox serve`]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
set -euo pipefail
EXPERIMENT="${EXPERIMENT:-sandbox}"
OUTPUT="${OUTPUT:-runs/sandbox}"
retool sandbox serve --port "${PORT:-8080}" "$@"
