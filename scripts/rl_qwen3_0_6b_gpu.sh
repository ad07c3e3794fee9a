#!/usr/bin/env bash
# RL (GRPO) of Qwen3-0.6B on one GPU of 24 GB. Configured, not run. Usage (variables: lib.sh):
#   MODEL_PATH=runs/sft/hf TRAIN_FILES=train.parquet VAL_FILES=val.parquet bash scripts/rl_qwen3_0_6b_gpu.sh [key=value ...]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
set -euo pipefail
EXPERIMENT="${EXPERIMENT:-qwen3-0.6b_grpo}"
rl device=gpu model=qwen3_0_6b algorithm=grpo "$@"
