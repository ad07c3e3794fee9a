#!/usr/bin/env bash
# SFT -> merge -> GRPO -> evaluation of a tiny model on this machine's CPU. Usage:
#   bash scripts/quickstart.sh [--seed N] [--out DIR]     (a relative DIR starts at the checkout)
# The first call makes the virtual environment (see setup_env.sh for its settings).
set -euo pipefail

REPO="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$(realpath -m "${RETOOL_VENV:-$REPO/.venv}")"
bash "$REPO/scripts/setup_env.sh"
cd "$REPO"
exec "$VENV/bin/retool" quickstart "$@"
