#!/usr/bin/env bash
# Installs the GPU stack into the Python environment that is active. Configured, not run. Usage:
#   bash scripts/setup_gpu.sh              verl 0.9.1: requirements-gpu.txt tells the order and why
#   STACK=verl_0_6 bash scripts/setup_gpu.sh
# PYTHON: interpreter (python3). DRY_RUN=1 prints the commands.
set -euo pipefail

REPO="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
PYTHON="${PYTHON:-python3}"
run() { if [ -n "${DRY_RUN:-}" ]; then printf '%s\n' "$*"; else "$@"; fi; }
pip() { run "$PYTHON" -m pip install "$@"; }

case "${STACK:-verl_0_9}" in
    verl_0_9) list=requirements-gpu.txt flash=2.8.3 ;;
    verl_0_6) list=requirements-gpu-verl_0_6.txt flash=2.8.1 ;;
    *)
        echo "error: STACK=$STACK: known are verl_0_9 and verl_0_6" >&2
        exit 2
        ;;
esac
pip -r "$REPO/scripts/$list"
pip --no-build-isolation "flash-attn==$flash"
pip --no-deps -e "$REPO"
run "$PYTHON" -m recipe.retool.cli doctor --device gpu --stack "${STACK:-verl_0_9}"
