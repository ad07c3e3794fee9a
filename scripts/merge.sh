#!/usr/bin/env bash
# FSDP checkpoint -> Hugging Face model, compared with the shards that it came from. Runs on the CPU of any host.
#   CHECKPOINTS=runs/multiturn-sft-qwen-2.5-7b-instruct/checkpoints bash scripts/merge.sh [--step N] [--output DIR]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
set -euo pipefail
need CHECKPOINTS runs/NAME/checkpoints
[ -d "$CHECKPOINTS" ] || die "CHECKPOINTS=$CHECKPOINTS: no such folder (here: $PWD)"
EXPERIMENT="${EXPERIMENT:-merge}"
OUTPUT="${OUTPUT:-$(dirname "$CHECKPOINTS")}"
retool merge "$CHECKPOINTS" "$@"
