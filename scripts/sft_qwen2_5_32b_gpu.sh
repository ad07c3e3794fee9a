#!/usr/bin/env bash
# Cold start of Qwen2.5-32B on two nodes of 8 GPUs: run it on both, with NODE_RANK and MASTER_ADDR set. Configured, not run. Usage (variables: lib.sh):
#   bash scripts/sft_qwen2_5_32b_gpu.sh [key=value ...]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
set -euo pipefail
EXPERIMENT="${EXPERIMENT:-multiturn-sft-qwen-2.5-32b-instruct}"
sft device=gpu model=qwen2_5_32b "$@"
