#!/usr/bin/env bash
# RL on the nodes of a Ray cluster. Configured, not run. First, on each node, with the same code, data and model paths:
#   bash scripts/ray_node.sh DEVICE head            on the first
#   bash scripts/ray_node.sh DEVICE worker ADDRESS  on the others, with the address of the first
# then on the first (variables: lib.sh; SANDBOX_URL is an address that every node reaches):
#   SANDBOX_URL=http://ADDRESS:8080 MODEL_PATH=... TRAIN_FILES=... VAL_FILES=... \
#     bash scripts/rl_two_nodes.sh DEVICE MODEL ALGORITHM [key=value ...]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
set -euo pipefail
[ $# -ge 3 ] || die "usage: bash $0 DEVICE MODEL ALGORITHM [key=value ...]"
device="$1" model="$2" algorithm="$3"
shift 3
need SANDBOX_URL http://ADDRESS:8080
EXPERIMENT="${EXPERIMENT:-${model}_${algorithm}_2nodes}"
export RAY_ADDRESS="${RAY_ADDRESS:-auto}"
[ "$device" != npu ] || ascend
rl device="$device" model="$model" algorithm="$algorithm" trainer.nnodes=2 "$@"
