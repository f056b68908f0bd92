#!/usr/bin/env bash
# A Slurm array that labels a fleet without Ray: sbatch examples/deploy/slurm_array.sh INPUT OUT
# Each task takes one shard; tasks that failed are submitted again as they are, and do only what is missing.
#SBATCH --job-name=label-fleet
#SBATCH --array=0-31
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=24:00:00
#SBATCH --requeue
set -euo pipefail

# Exit code 1 says that some recordings failed, which is no reason to requeue: spatialemb-fleet report tells which.
spatialemb-annotate "$1" --out "$2" \
    --shard "$((SLURM_ARRAY_TASK_ID + 1))/$SLURM_ARRAY_TASK_COUNT" \
    --scratch "${TMPDIR:-/tmp}" --memory-gb 28 --quiet || [ $? -eq 1 ]
# When all are done: spatialemb-fleet report OUT
