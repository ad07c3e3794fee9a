#!/usr/bin/env bash
# Everything that must pass before a change is merged. The first failure ends it and gives the exit code.
#   bash scripts/test.sh             style, types, tests, documentation
#   bash scripts/test.sh --slow      only the slow tests: the real pipeline, some minutes
#   bash scripts/test.sh ARGS...     only pytest, with these arguments
# The first call makes the virtual environment (see setup_env.sh for its settings).
set -euo pipefail

REPO="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$(realpath -m "${RETOOL_VENV:-$REPO/.venv}")"
bash "$REPO/scripts/setup_env.sh"
bash "$REPO/scripts/setup_browser.sh"
cd "$REPO"

# step NAME MODULE ARGS...: run a Python module of the environment, say how long it took.
step() {
    local name="$1" started=$SECONDS code=0
    shift
    printf '== %s\n' "$name"
    "$VENV/bin/python" -m "$@" || code=$?
    printf '== %s: %s, %d s\n' "$name" "$([ "$code" = 0 ] && echo passed || echo "FAILED ($code)")" $((SECONDS - started))
    return "$code"
}

case "${1:-}" in
    "")
        step "ruff check" ruff check .
        step "ruff format" ruff format --check .
        step "mypy" mypy
        step "pytest" pytest -q
        step "documentation" sphinx -W -q -b html docs docs/_build
        ;;
    --slow)
        shift
        step "pytest, slow" pytest -m "slow and not gpu and not npu and not network" --timeout 1800 "$@"
        ;;
    *) exec "$VENV/bin/python" -m pytest "$@" ;;
esac
