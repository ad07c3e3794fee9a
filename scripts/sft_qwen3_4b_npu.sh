#!/usr/bin/env bash
# Cold start of Qwen3-4B on one Atlas 900 A2 node. Configured, not run. Usage (variables: lib.sh):
#   bash scripts/sft_qwen3_4b_npu.sh [key=value ...]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
set -euo pipefail
EXPERIMENT="${EXPERIMENT:-sft-qwen3-4b}"
ascend
sft device=npu model=qwen3_4b "$@"
