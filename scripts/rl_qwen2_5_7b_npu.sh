#!/usr/bin/env bash
# RL (DAPO) of Qwen2.5-7B on one Atlas 900 A2 node. Configured, not run. Usage (variables: lib.sh):
#   MODEL_PATH=runs/sft/hf TRAIN_FILES=train.parquet VAL_FILES=val.parquet bash scripts/rl_qwen2_5_7b_npu.sh [key=value ...]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
set -euo pipefail
EXPERIMENT="${EXPERIMENT:-qwen2.5-7b_dapo}"
ascend
rl device=npu model=qwen2_5_7b algorithm=dapo "$@"
