#!/bin/sh
# One sweep by many jobs, one process per GPU:
#   sbatch examples/sweeps/slurm_array.sh examples/sweeps/million.toml /shared/million
# Each job makes its share; the directory must be one that all of them see. Jobs that fail, are
# killed or run out of time lose at most the shard they were at: submit the same line again, and
# what is there is found. Without GPUs leave --gpus-per-task out.
#SBATCH --job-name=softreg-sweep
#SBATCH --array=1-20
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-task=1
#SBATCH --time=02:00:00
#SBATCH --signal=TERM@30
#SBATCH --requeue
set -u

code=0
# Slurm sends SIGTERM to what srun started 30 s before the time is over; softreg needs 2.
srun "${SOFTREG_PROGRAM:-softreg}" sweep run "$1" -o "$2" --part "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
  --threads "$SLURM_CPUS_PER_TASK" || code=$?
if [ "$code" -eq 75 ]; then  # interrupted, resumable
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
fi
exit "$code"
