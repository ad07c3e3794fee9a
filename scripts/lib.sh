#!/usr/bin/env bash
# Shared by the scripts of this folder; sourced, not run. What all of them read:
#   PYTHON       interpreter with the engines (python3)
#   EXPERIMENT   name of the run (each script has its own)
#   OUTPUT       run folder (runs/EXPERIMENT); a second start there goes on from the last checkpoint
#   LOG_DIR      folder of the log with a time stamp in its name (OUTPUT/logs)
# SFT:  TRAIN_FILES  parquet of `retool data sft` (where recipe/retool/retool_sft_preprocess.py puts it)
#       MODEL_PATH   base model: a folder or a name on the hub (the model of the config)
# RL:   TRAIN_FILES  parquet of `retool data rl`          VAL_FILES  parquet of `retool data eval`
#       MODEL_PATH   merged SFT checkpoint of yours (scripts/merge.sh), or any other
#       SANDBOX_URL  a running sandbox (empty: one is started with the run; with several nodes it must be given)
# Ascend: ASCEND_ROOT  where the toolkit and nnal are installed (/usr/local/Ascend, then ~/Ascend)
# Arguments are Hydra overrides and options of `retool`; they come last and win: --dry-run, trainer.nnodes=2, ...
set -euo pipefail

REPO="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
PYTHON="${PYTHON:-python3}"
export RETOOL_HOME="${RETOOL_HOME:-$REPO}"
export PYTHONPATH="$REPO${PYTHONPATH:+:$PYTHONPATH}"

die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

# need NAME WHAT: the variable is set, and what it names exists (lists, hub names and remote paths are left to retool).
need() {
    local value="${!1:-}"
    [ -n "$value" ] || die "$1 is not set: $1=$2 bash $0"
    case "$value" in
        /* | ./* | ../* | *.parquet) [ -e "$value" ] || die "$1=$value: no such file or folder (here: $PWD)" ;;
    esac
}

# hydra KEY VALUE: an override whose value may hold any character but a quote; a list stays as it is.
hydra() { case "$2" in "["*) printf '%s=%s' "$1" "$2" ;; *) printf "%s='%s'" "$1" "$2" ;; esac; }

# retool ARGS...: run it, show its output and keep it; the exit code is that of retool, not of tee.
retool() {
    local log
    LOG_DIR="${LOG_DIR:-$OUTPUT/logs}"
    mkdir -p "$LOG_DIR"
    log="$LOG_DIR/$EXPERIMENT-$(date +%Y%m%d_%H%M%S).log"
    printf 'log: %s\n' "$log"
    "$PYTHON" -m recipe.retool.cli "$@" 2>&1 | tee -i "$log"
}

# sft OVERRIDES...
sft() {
    TRAIN_FILES="${TRAIN_FILES:-$HOME/ReTool-SFT/data/train-00000-of-00001.parquet}"
    need TRAIN_FILES sft.parquet
    OUTPUT="${OUTPUT:-runs/$EXPERIMENT}"
    retool sft --output "$OUTPUT" "$(hydra data.train_files "$TRAIN_FILES")" \
        ${MODEL_PATH:+"$(hydra model.path "$MODEL_PATH")"} trainer.experiment_name="$EXPERIMENT" "$@"
}

# rl OVERRIDES...
rl() {
    need MODEL_PATH runs/sft/hf
    need TRAIN_FILES train.parquet
    need VAL_FILES val.parquet
    OUTPUT="${OUTPUT:-runs/$EXPERIMENT}"
    retool rl --output "$OUTPUT" ${SANDBOX_URL:+--sandbox-url "$SANDBOX_URL"} \
        "$(hydra data.train_files "$TRAIN_FILES")" "$(hydra data.val_files "$VAL_FILES")" \
        "$(hydra actor_rollout_ref.model.path "$MODEL_PATH")" trainer.experiment_name="$EXPERIMENT" "$@"
}

# Where CANN and nnal put their set_env.sh; newer packages of CANN install into cann/. Roots: ASCEND_ROOT alone if it is
# set, else the two defaults of the installer (root's, and a user's).
ASCEND_TOOLKITS=(ascend-toolkit/set_env.sh cann/set_env.sh)
ASCEND_NNALS=(nnal/atb/set_env.sh)

# source_first WHAT SCRIPT...: source the first that is there under a root. They read variables that are not set.
source_first() {
    local what="$1" root script roots=("${ASCEND_ROOT:-/usr/local/Ascend}")
    [ -n "${ASCEND_ROOT:-}" ] || roots+=("${HOME:-/root}/Ascend")
    shift
    for root in "${roots[@]}"; do
        for script in "$@"; do
            [ -f "$root/$script" ] || continue
            set +u
            # shellcheck disable=SC1090
            source "$root/$script" || die "$root/$script failed"
            set -u
            return
        done
    done
    die "$what: no ${*// /, } under ${roots[*]}: install it, name its folder in ASCEND_ROOT, or source its set_env.sh"
}

# ascend: CANN's and nnal's own scripts, unless they were sourced already.
ascend() {
    [ -n "${ASCEND_HOME_PATH:-}" ] || source_first "CANN is not in the environment" "${ASCEND_TOOLKITS[@]}"
    [ -n "${ATB_HOME_PATH:-}" ] || source_first "nnal, which vllm-ascend loads, is not in the environment" "${ASCEND_NNALS[@]}"
}
