#!/usr/bin/env bash
# The path of the Ascend ReTool best practice; the script is scripts/sft_qwen2_5_7b_npu.sh.
set -euo pipefail
exec bash "$(dirname "${BASH_SOURCE[0]}")/../../scripts/sft_qwen2_5_7b_npu.sh" "$@"
