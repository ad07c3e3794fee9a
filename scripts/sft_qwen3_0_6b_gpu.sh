#!/usr/bin/env bash
# Cold start of Qwen3-0.6B on one GPU of 24 GB. Configured, not run. Usage (variables: lib.sh):
#   bash scripts/sft_qwen3_0_6b_gpu.sh [key=value ...]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
set -euo pipefail
EXPERIMENT="${EXPERIMENT:-sft-qwen3-0.6b}"
sft device=gpu model=qwen3_0_6b "$@"
