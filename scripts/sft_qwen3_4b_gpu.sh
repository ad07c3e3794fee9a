#!/usr/bin/env bash
# Cold start of Qwen3-4B on one node of 8 GPUs. Configured, not run. Usage (variables: lib.sh):
#   bash scripts/sft_qwen3_4b_gpu.sh [key=value ...]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
set -euo pipefail
EXPERIMENT="${EXPERIMENT:-sft-qwen3-4b}"
sft device=gpu model=qwen3_4b "$@"
