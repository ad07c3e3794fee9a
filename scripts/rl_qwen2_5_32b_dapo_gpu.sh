#!/usr/bin/env bash
# RL (DAPO) of Qwen2.5-32B on two nodes of 8 GPUs (first scripts/ray_node.sh on both). Configured, not run. Usage (variables: lib.sh):
#   SANDBOX_URL=http://HOST:8080 MODEL_PATH=runs/sft/hf TRAIN_FILES=train.parquet VAL_FILES=val.parquet \
#     bash scripts/rl_qwen2_5_32b_dapo_gpu.sh [key=value ...]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
set -euo pipefail
SANDBOX_URL="${SANDBOX_URL:-${RETOOL_SANDBOX_URL:-}}"
need SANDBOX_URL http://HOST:8080
EXPERIMENT="${EXPERIMENT:-qwen2.5-32b_dapo}"
rl device=gpu model=qwen2_5_32b algorithm=dapo "$@"
