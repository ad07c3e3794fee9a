#!/usr/bin/env bash
# RL (DAPO) of Qwen3-4B, from our SFT or any other checkpoint, on one node of 8 GPUs. Configured, not run. Usage (variables: lib.sh):
#   MODEL_PATH=runs/sft/hf TRAIN_FILES=train.parquet VAL_FILES=val.parquet bash scripts/rl_qwen3_4b_gpu.sh [key=value ...]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
set -euo pipefail
EXPERIMENT="${EXPERIMENT:-qwen3-4b_dapo}"
rl device=gpu model=qwen3_4b algorithm=dapo "$@"
