#!/usr/bin/env bash
# Cold start of Qwen2.5-7B on one node of 8 GPUs. Configured, not run. Usage (variables: lib.sh):
#   bash scripts/sft_qwen2_5_7b_gpu.sh [key=value ...]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
set -euo pipefail
EXPERIMENT="${EXPERIMENT:-multiturn-sft-qwen-2.5-7b-instruct}"
sft device=gpu model=qwen2_5_7b "$@"
