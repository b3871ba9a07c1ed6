"""A Slurm that fits into a folder: sbatch runs the tasks of a job one by one, squeue knows when it is over."""

from __future__ import annotations

import sys
from pathlib import Path

SBATCH = """#!/bin/bash
here=$(dirname "$0"); script="${@: -1}"; job=$(($(ls "$here" | wc -l) + 1000))
if [ -e "$here/refuse" ]; then echo "sbatch: error: invalid partition specified" >&2; exit 1; fi
cp "$script" "$here/$job.sh"; echo "Submitted batch job $job"
case "$*" in *RUN_OFFSET*) ;; *) exit 0;; esac
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$here/$job.sh")
touch "$here/$job.queued"
(for i in $(seq 0 $last); do
   SLURM_JOB_ID=$job SLURM_NODELIST=here SLURM_ARRAY_TASK_ID=$i RUN_OFFSET=0 bash "$here/$job.sh"
 done; rm "$here/$job.queued") >"$here/$job.out" 2>&1 </dev/null &
"""
SQUEUE = """#!/bin/bash
if [ -e "$(dirname "$0")/${@: -1}.queued" ]; then echo "${@: -1} gpu mvc-hf R"; exit 0; fi
echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1
"""
SRUN = """#!/bin/bash
while [[ "$1" == -* ]]; do case "$1" in -n) shift 2;; *) shift;; esac; done
exec "$@"
"""
SCONTROL = '#!/bin/bash\necho "${@: -1}"\n'
# What pip would put beside the interpreter, wherever datatrove lies.
LAUNCH = f"""#!/bin/bash
exec {sys.executable} -m datatrove.tools.launch_pickled_pipeline "$@"
"""


def install(folder: Path) -> Path:
    """The programs, in a folder for PATH."""
    folder.mkdir()
    programs = {"sbatch": SBATCH, "squeue": SQUEUE, "srun": SRUN, "scontrol": SCONTROL}
    programs["launch_pickled_pipeline"] = LAUNCH
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder
